#!/bin/sh
# Ten domains of clinc150, one after the other: see README.md.
# usage: domains.sh DATASETS OUT [CONTINUAL] [ORDERS] [ARMS]
set -eu
datasets=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
continual=${3:-continual}
orders=${4:-"0 1 2"}
arms=${5:-"ours noreplay noanchor naive joint"}
here=$(dirname "$(realpath "$0")")
# What all arms share; the rate and the anchor are those of an update cycle's defaults for a model of this width.
train="--rank 16 --lr 2e-3 --epochs 4 --batch-tokens 1024 --seq-len 96"
anchor=0.1

for order in $orders; do
    dotnet run "$here/domains.cs" -- prepare "$datasets" "$out" "$order"
done
if [ ! -s "$out/base.gguf" ]; then
    "$continual" pretrain --json --corpus "$out/corpus.jsonl" --out "$out/base.gguf" \
        --layers 4 --width 192 --heads 3 --vocab 2048 --epochs 3 --validation-share 0.02 | tee "$out/base.json"
fi

ask() {
    "$continual" eval --json --model "$out/base.gguf" --adapter "$1.gguf" --data "$2/test.jsonl" --choices "$out/choices.txt" --parallel 16 \
        --predictions "$1.predictions.jsonl" > "$1.eval.json"
}

for order in $orders; do
    folder=$out/order-$order
    for arm in $arms; do
        if [ "$arm" = joint ]; then
            [ -s "$folder/joint.eval.json" ] && continue
            echo "order $order, everything at once" >&2
            "$continual" train --json --model "$out/base.gguf" --data "$folder/joint.jsonl" --out "$folder/joint.gguf" $train > "$folder/joint.json"
            ask "$folder/joint" "$folder"
            continue
        fi
        for stage in 0 1 2 3 4 5 6 7 8 9; do
            at=$folder/$arm.$stage
            [ -s "$at.eval.json" ] && continue
            echo "order $order, $arm, domain $stage" >&2
            data=ours
            weight=$anchor
            case $arm in
            noreplay) data=naive ;;
            noanchor) weight=0 ;;
            naive) data=naive weight=0 ;;
            esac
            init=
            if [ "$stage" -gt 0 ]; then
                init="--init $folder/$arm.$((stage - 1)).gguf"
            else
                # Nobody is held to a model that has learned nothing yet.
                weight=0
            fi
            "$continual" train --json --model "$out/base.gguf" --data "$folder/$stage.$data.jsonl" --out "$at.gguf" $init --anchor $weight $train > "$at.json"
            ask "$at" "$folder"
        done
    done
done
dotnet run "$here/domains.cs" -- table "$out" | tee "$out/domains.md"
