"""PyTorch with PEFT on the shapes of native/bench/step_bench.cpp: LoRA on all linear layers of a bf16 model with random weights, AdamW, SDPA attention.

    python3 bench/gpu/peer.py --model qwen3-4b --tokens 2048 --length 2048 [--rank 16] [--repeats 5] [--compile]

Prints one JSON line: tokens a second (median step, forward, backward and update), and the most memory that PyTorch had allocated.
"""
import argparse
import json
import statistics
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

SHAPES = {
    "qwen2-0.5b": (Qwen2Config, dict(num_hidden_layers=24, hidden_size=896, intermediate_size=4864, num_attention_heads=14, num_key_value_heads=2, vocab_size=151936, tie_word_embeddings=True)),
    "llama-3.2-1b": (LlamaConfig, dict(num_hidden_layers=16, hidden_size=2048, intermediate_size=8192, num_attention_heads=32, num_key_value_heads=8, vocab_size=128256, tie_word_embeddings=True)),
    "qwen3-4b": (Qwen3Config, dict(num_hidden_layers=36, hidden_size=2560, intermediate_size=9728, num_attention_heads=32, num_key_value_heads=8, head_dim=128, vocab_size=151936, tie_word_embeddings=True)),
    "llama-3.1-8b": (LlamaConfig, dict(num_hidden_layers=32, hidden_size=4096, intermediate_size=14336, num_attention_heads=32, num_key_value_heads=8, vocab_size=128256, tie_word_embeddings=False)),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, choices=SHAPES)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()

    torch.manual_seed(1)
    kind, shape = SHAPES[options.model]
    config = kind(max_position_embeddings=4096, **shape)
    config._attn_implementation = "sdpa"
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    torch.set_default_dtype(torch.float32)
    lora = LoraConfig(r=options.rank, lora_alpha=2 * options.rank, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
    model = get_peft_model(model, lora)
    model.train()
    step_of = torch.compile(model) if options.compile else model
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0, fused=True)
    ids = torch.randint(0, config.vocab_size, (options.tokens // options.length, options.length), device="cuda")

    def step():
        loss = step_of(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    for _ in range(3):
        loss = step()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(options.repeats):
        torch.cuda.synchronize()
        start = time.perf_counter()
        loss = step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    print(json.dumps({
        "bench": "peer", "device": torch.cuda.get_device_name(), "torch": torch.__version__, "compiled": options.compile, "model": options.model, "tokens": options.tokens,
        "length": options.length, "rank": options.rank, "seconds": round(seconds, 5), "tokens_per_second": round(options.tokens / seconds, 1),
        "used_bytes": torch.cuda.max_memory_allocated(), "reserved_bytes": torch.cuda.max_memory_reserved(), "loss_last": loss,
    }))


if __name__ == "__main__":
    main()
