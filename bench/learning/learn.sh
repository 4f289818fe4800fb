#!/bin/sh
# Grows a model, trains an adapter for each set, and evaluates before and after: see README.md.
# usage: learn.sh DATASETS OUT [CONTINUAL]
set -eu
datasets=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
continual=${3:-continual}
here=$(dirname "$(realpath "$0")")

dotnet run "$here/learning.cs" -- prepare "$datasets" "$out"
"$continual" pretrain --json --corpus "$out/corpus.jsonl" --out "$out/base.gguf" \
    --layers 4 --width 192 --heads 3 --vocab 2048 --epochs 3 --validation-share 0.02 | tee "$out/base.json"
for set in banking77 clinc150; do
    dotnet run "$here/learning.cs" -- baseline "$out" $set | tee "$out/$set.baseline.json"
    # A learning rate of 0 writes the adapter as it is before training.
    "$continual" train --json --model "$out/base.gguf" --data "$out/$set.train.jsonl" --out "$out/$set.untrained.gguf" --lr 0 --epochs 1 > "$out/$set.untrained.json"
    "$continual" train --json --model "$out/base.gguf" --data "$out/$set.train.jsonl" --out "$out/$set.gguf" \
        --lr 2e-3 --epochs 8 --validation-share 0.1 | tee "$out/$set.train.json"
    for adapter in $set.untrained $set; do
        "$continual" eval --json --model "$out/base.gguf" --adapter "$out/$adapter.gguf" --data "$out/$set.test.jsonl" \
            --choices "$out/$set.choices.txt" | tee "$out/$adapter.eval.json"
    done
done
