#!/usr/bin/env bash
# The demo over several seeds, and what each part of the loop is worth: see README.md.
# usage: bench/demo/run.sh OUT [SEEDS] [VARIANTS]
set -euo pipefail
out=${1:?usage: bench/demo/run.sh OUT [SEEDS] [VARIANTS]}
seeds=${2:-"1 2 3 4 5"}
variants=${3:-"none noreplay noanchor noteaching nooutcomes randomteaching"}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
continual=$root/src/ContinualNative.Host/bin/Release/net10.0/continual
[ -x "$continual" ] || dotnet build -c Release -v q "$root/src/ContinualNative.Host"
mkdir -p "$out"
for variant in $variants; do
    for seed in $seeds; do
        file=$out/$variant-$seed.json
        # A run that was finished before is not made again.
        [ -s "$file" ] && continue
        echo "$variant, seed $seed" >&2
        "$continual" demo --seed "$seed" --without "$variant" --out "$out/$variant-$seed" --json > "$file.part"
        mv "$file.part" "$file"
    done
done
node "$here/summary.mjs" "$out"
