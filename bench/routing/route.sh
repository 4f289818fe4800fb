#!/bin/sh
# Grows a model, trains an adapter for half of clinc150, records its answers, and replays them through the router: see README.md.
# usage: route.sh DATASETS OUT [CONTINUAL]
set -eu
datasets=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
continual=${3:-continual}
here=$(dirname "$(realpath "$0")")

dotnet run "$here/routing.cs" -- "$datasets" "$out"
"$continual" pretrain --json --low-priority --corpus "$out/corpus.jsonl" --out "$out/base.gguf" \
    --layers 4 --width 192 --heads 3 --vocab 2048 --epochs 3 --validation-share 0.02 | tee "$out/base.json"
"$continual" train --json --low-priority --model "$out/base.gguf" --data "$out/train.jsonl" --out "$out/adapter.gguf" \
    --lr 2e-3 --epochs 8 --validation-share 0.05 | tee "$out/train.json"
bench() { dotnet run -c Release --project "$here/../ContinualNative.Bench" -- routing "$@"; }
bench record "$out/base.gguf" "$out/adapter.gguf" "$out" "$out/features.jsonl"
bench "$out/features.jsonl" --out "$out" | tee "$out/routing.md"
