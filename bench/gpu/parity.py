"""Compares what write_parity wrote with PyTorch and PEFT on the same weights, adapter and batch: the cosine of the LoRA gradients, and the losses of ten steps.

    native_build/native/tests/write_parity 0 bf16 qwen2 FOLDER && python3 bench/gpu/parity.py FOLDER [--dtype float32] [--device cuda]

Prints one JSON line, and exits with 1 when the cosine is below 0.999.
"""
import argparse
import json
import os
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

KINDS = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}
NAMES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
}


def name_of(tensor):
    if tensor.startswith("blk."):
        _, layer, rest, kind = tensor.split(".")
        return f"model.layers.{layer}.{NAMES[rest]}.{kind}"
    return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}[tensor]


def unpermuted(rows, heads):
    """llama.cpp's order of the rotated pairs, (0,1) (2,3) ..., to that of transformers, (0, d/2) (1, d/2 + 1) ..."""
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    with open(os.path.join(options.folder, "model.json"), encoding="utf-8") as file:
        m = json.load(file)
    llama = m["architecture"] == "llama"
    shape = dict(num_hidden_layers=m["layers"], hidden_size=m["width"], intermediate_size=m["feed_forward"], num_attention_heads=m["heads"], num_key_value_heads=m["kv_heads"],
                 vocab_size=m["vocabulary"], rms_norm_eps=m["eps"], max_position_embeddings=512, rope_theta=10000.0, tie_word_embeddings=False)
    if m["architecture"] == "qwen3":
        shape["head_dim"] = m["head_width"]
    model = AutoModelForCausalLM.from_config(KINDS[m["architecture"]](**shape))
    with open(os.path.join(options.folder, "weights.bin"), "rb") as file:
        data = file.read()
    state = {}
    for tensor in m["tensors"]:
        values = torch.frombuffer(bytearray(data[tensor["at"]:tensor["at"] + 4 * tensor["rows"] * tensor["columns"]]), dtype=torch.float32)
        values = values.reshape(tensor["rows"], tensor["columns"]) if tensor["rows"] > 1 else values
        if llama and (".attn_q." in tensor["name"] or ".attn_k." in tensor["name"]):
            values = unpermuted(values, m["heads"] if ".attn_q." in tensor["name"] else m["kv_heads"])
        state[name_of(tensor["name"])] = values
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if "inv_freq" not in name and not (name.endswith(".bias") and m["architecture"] == "qwen2" and name not in state)]
    assert not missing and not unexpected, (missing, unexpected)

    model = PeftModel.from_pretrained(model, os.path.join(options.folder, "adapter"), is_trainable=True)
    model = model.to(options.device, dtype=getattr(torch, options.dtype))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    if llama:
        # B's rows are q's and k's.
        for name, parameter in model.named_parameters():
            if "lora_B" in name and ("q_proj" in name or "k_proj" in name):
                parameter.data = unpermuted(parameter.data, m["heads"] if "q_proj" in name else m["kv_heads"])
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def loss_of():
        total = 0.0
        for begin, end in zip(m["bounds"], m["bounds"][1:]):
            ids = torch.tensor([m["tokens"][begin:end]], device=options.device)
            with torch.autocast(options.device, dtype=torch.bfloat16, enabled=options.dtype == "bfloat16"):
                logits = model(input_ids=ids, use_cache=False).logits[0].float()
            target = torch.tensor(m["target"][begin:end], device=options.device)
            weight = torch.tensor(m["weight"][begin:end], device=options.device)
            each = torch.nn.functional.cross_entropy(logits, target.clamp(min=0), reduction="none")
            total = total + (each * weight).sum()
        return total / sum(m["weight"])

    loss_of().backward()
    ours = load_file(os.path.join(options.folder, "gradient", "adapter_model.safetensors"))
    dot = own = other = 0.0
    for name, parameter in trained.items():
        mine = ours[name.replace(".default.", ".")].to(options.device).float()
        if llama and "lora_B" in name and ("q_proj" in name or "k_proj" in name):
            mine = unpermuted(mine, m["heads"] if "q_proj" in name else m["kv_heads"])
        theirs = parameter.grad.float()
        dot += (mine * theirs).sum().item()
        own += (mine * mine).sum().item()
        other += (theirs * theirs).sum().item()
    cosine = dot / (own * other) ** 0.5

    optimizer = torch.optim.AdamW(trained.values(), lr=m["learning_rate"], betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    optimizer.zero_grad()
    losses = []
    for _ in range(10):
        loss = loss_of()
        losses.append(loss.item())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    print(json.dumps({
        "bench": "parity", "architecture": m["architecture"], "dtype": options.dtype, "cosine": cosine, "norms": (own / other) ** 0.5,
        "losses": m["losses"], "torch_losses": losses, "worst_loss": max(abs(a - b) / abs(b) for a, b in zip(m["losses"], losses)),
    }))
    sys.exit(0 if cosine >= 0.999 else 1)


if __name__ == "__main__":
    main()
