#!/usr/bin/env bash
# Builds, checks and times everything that runs on a GPU, on a machine with an NVIDIA driver, CMake and a C++20 compiler, and nothing else: see README.md.
# usage: bench/gpu/run.sh OUT [all|build|check|parity|step|peer|table|llama|both]
set -uo pipefail
out=${1:?usage: bench/gpu/run.sh OUT [all|build|check|parity|step|peer|table|llama|both]}
what=${2:-all}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${BUILD:-$root/native/build/gpu}
# MODEL TYPE TOKENS LENGTH, one a line.
cases=${CASES:-"qwen2-0.5b q4_k_m 2048 512
qwen2-0.5b q8_0 2048 512
llama-3.2-1b q4_k_m 2048 512
llama-3.2-1b q8_0 2048 512
qwen3-4b q4_k_m 2048 2048
qwen3-4b q8_0 2048 2048
llama-3.1-8b q4_k_m 2048 2048
llama-3.1-8b q8_0 2048 2048
qwen3-4b q4_k_m 8192 2048"}
mkdir -p "$out"
failed=0

wants() { [ "$what" = all ] || [ "$what" = "$1" ]; }

if wants build; then
    generator=()
    command -v ninja >/dev/null && [ ! -e "$build/CMakeCache.txt" ] && generator=(-G Ninja)
    # PTX that was made elsewhere is taken from $PTX where this machine has no clang.
    { cmake -S "$root" -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DCONTINUAL_NATIVE_TESTS=ON -DCONTINUAL_NATIVE_BENCH=ON ${PTX:+"-DCONTINUAL_PTX=$PTX"} &&
        cmake --build "$build" --parallel; } >"$out/build.log" 2>&1 || { tail -n 20 "$out/build.log"; exit 1; }
fi

# Every kernel, the trainer and the emulator's own tests, on the GPU.
if wants check; then
    CONTINUAL_TEST_GPU=0 ctest --test-dir "$build" -R '_gpu_' --output-on-failure --timeout 120 >"$out/check.log" 2>&1 || failed=1
    CONTINUAL_TEST_GPU=0 CONTINUAL_OWN_PRODUCTS=1 ctest --test-dir "$build" -R '^trainer_gpu_' --output-on-failure --timeout 120 >>"$out/check.log" 2>&1 || failed=1
    grep -E 'tests passed|\*\*\*|Failed' "$out/check.log"
    if command -v compute-sanitizer >/dev/null; then
        for tool in memcheck racecheck; do
            CONTINUAL_TEST_GPU=0 timeout 300 compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/native/tests/native_tests" trainer_gpu_gradient_bf16 >"$out/$tool.log" 2>&1
            echo "compute-sanitizer $tool: exit code $? ($(tail -n 1 "$out/$tool.log"))"
        done
    fi
fi

# Gradients and ten steps beside PyTorch's on the same weights.
if wants parity; then
    : >"$out/parity.jsonl"
    for architecture in llama qwen2 qwen3; do
        for precision in f32 bf16; do
            folder=$out/parity-$architecture-$precision
            "$build/native/tests/write_parity" 0 "$precision" "$architecture" "$folder" &&
                timeout 120 python3 "$here/parity.py" "$folder" >>"$out/parity.jsonl" 2>"$out/parity.err" || { echo "parity $architecture $precision: $(tail -n 1 "$out/parity.err")"; failed=1; }
        done
    done
    sed -E 's/.*"architecture": "([a-z0-9]+)".*"cosine": ([0-9.e-]+).*"worst_loss": ([0-9.e-]+).*/parity \1: cosine \2, worst loss of ten steps off by \3/' "$out/parity.jsonl"
fi

if wants step; then
    : >"$out/step.jsonl"
    while read -r model type tokens length; do
        timeout 120 "$build/native/bench/step_bench" --device 0 --precision bf16 --model "$model" --type "$type" --tokens "$tokens" --length "$length" --repeats 5 >>"$out/step.jsonl" 2>"$out/step.err" ||
            { echo "step_bench $model $type $tokens: $(tail -n 1 "$out/step.err")"; failed=1; }
    done <<<"$cases"
fi

if wants peer; then
    : >"$out/peer.jsonl"
    while read -r model tokens length; do
        for compiled in "" --compile; do
            timeout 240 python3 "$here/peer.py" --model "$model" --tokens "$tokens" --length "$length" $compiled >>"$out/peer.jsonl" 2>"$out/peer.err" ||
                echo "peer.py $model $tokens $compiled: $(tail -n 1 "$out/peer.err")"
        done
    done < <(awk '{print $1, $3, $4}' <<<"$cases" | sort -u)
fi

# llama.cpp with its CUDA backend for this GPU alone, from a checkout of the version that the project pins: $LLAMA_SOURCE. Minutes; not a part of all.
if [ "$what" = llama ]; then
    arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
    { cmake -S "${LLAMA_SOURCE:?a checkout of llama.cpp}" -B "$out/llama" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DGGML_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="$arch" -DGGML_NATIVE=OFF \
        -DGGML_CUDA_FA_ALL_QUANTS=OFF -DLLAMA_CURL=OFF -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF &&
        cmake --build "$out/llama" --parallel --target llama ggml-cuda; } >"$out/llama.log" 2>&1 || { tail -n 20 "$out/llama.log"; exit 1; }
    find "$out/llama" -name '*.so*' -exec strip --strip-unneeded {} + 2>/dev/null
    find "$out/llama" -name '*.so*' -type f -size +0 -printf '%s %p\n'
fi

# Serving and training at once in one process, each ÷ alone: with a self-contained publish of the program in $PUBLISH and llama.cpp with CUDA in $CONTINUAL_LLAMA_DIR.
if [ "$what" = both ] || { [ "$what" = all ] && [ -n "${PUBLISH:-}" ]; }; then
    : >"$out/both.jsonl"
    model=(--synthetic)
    [ -n "${MODEL:-}" ] && model=(--model "$MODEL")
    for tokens in 512 2048; do
        timeout 180 "${PUBLISH:?a self-contained publish of src/ContinualNative.Host}/continual" bench "${model[@]}" --train --concurrency 8 --train-tokens "$tokens" \
            --max-tokens 256 --repeats 3 --phase 5 --gpu-layers -1 --device 0 --json >>"$out/both.jsonl" 2>"$out/both.err" || { echo "both $tokens: $(tail -n 1 "$out/both.err")"; failed=1; }
    done
    cat "$out/both.jsonl"
fi

if wants table || wants step; then
    python3 "$here/table.py" "$out"
fi
exit "$failed"
