#!/usr/bin/env python3
"""Makes the files of this folder with the PyPI package gguf (0.19.0) and numpy; see README.md.

    pip install gguf==0.19.0 && python3 make.py
"""
import json
import os
import struct

import gguf
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
Q = gguf.GGMLQuantizationType
RNG = np.random.default_rng(20)

CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "vocab_size": 262,
    "hidden_size": 32, "intermediate_size": 64, "moe_intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "q_lora_rank": 32, "kv_lora_rank": 32,
    "qk_nope_head_dim": 32, "qk_rope_head_dim": 8, "v_head_dim": 32, "n_routed_experts": 4,
    "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
    "topk_method": "noaux_tc", "scoring_func": "sigmoid", "norm_topk_prob": True,
    "routed_scaling_factor": 2.5, "first_k_dense_replace": 1, "rms_norm_eps": 1e-6,
    "rope_theta": 10000,
    "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 32,
                     "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707},
    "max_position_embeddings": 128, "tie_word_embeddings": False, "bos_token_id": 260,
    "eos_token_id": 261, "torch_dtype": "bfloat16",
}


def bf16(values):
    """float32 values that BF16 can say."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def tensors():
    c = CONFIG
    out = {}

    def add(name, *shape, center=0.0):
        out[name] = bf16(center + RNG.normal(size=shape) / (np.sqrt(shape[-1]) if len(shape) > 1 else 10))

    heads, nope, rope, v = c["num_attention_heads"], c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    hidden = c["hidden_size"]
    add("model.embed_tokens.weight", c["vocab_size"], hidden)
    out["model.embed_tokens.weight"] *= 4
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        add(p + "input_layernorm.weight", hidden, center=1)
        add(p + "post_attention_layernorm.weight", hidden, center=1)
        add(p + "self_attn.q_a_proj.weight", c["q_lora_rank"], hidden)
        add(p + "self_attn.q_a_layernorm.weight", c["q_lora_rank"], center=1)
        add(p + "self_attn.q_b_proj.weight", heads * (nope + rope), c["q_lora_rank"])
        add(p + "self_attn.kv_a_proj_with_mqa.weight", c["kv_lora_rank"] + rope, hidden)
        add(p + "self_attn.kv_a_layernorm.weight", c["kv_lora_rank"], center=1)
        add(p + "self_attn.kv_b_proj.weight", heads * (nope + v), c["kv_lora_rank"])
        add(p + "self_attn.o_proj.weight", hidden, heads * v)

        def mlp(prefix, width):
            add(prefix + "gate_proj.weight", width, hidden)
            add(prefix + "up_proj.weight", width, hidden)
            add(prefix + "down_proj.weight", hidden, width)

        if layer < c["first_k_dense_replace"]:
            mlp(p + "mlp.", c["intermediate_size"])
            continue
        add(p + "mlp.gate.weight", c["n_routed_experts"], hidden)
        add(p + "mlp.gate.e_score_correction_bias", c["n_routed_experts"])
        for expert in range(c["n_routed_experts"]):
            mlp(f"{p}mlp.experts.{expert}.", c["moe_intermediate_size"])
        mlp(p + "mlp.shared_experts.", c["moe_intermediate_size"])
    add("model.norm.weight", hidden, center=1)
    add("lm_head.weight", c["vocab_size"], hidden)
    return out


def write_safetensors(path, arrays):
    """BF16 for matrices, F32 for the rest; all F32 if the values are no BF16."""
    header = {}
    for name, a in arrays.items():
        if a.ndim > 1 and (bf16(a) == a).all():
            raw, dtype = (a.view(np.uint32) >> 16).astype(np.uint16).tobytes(), "BF16"
        else:
            raw, dtype = a.astype(np.float32).tobytes(), "F32"
        header[name] = (dtype, list(a.shape), raw)
    order = sorted(header, key=lambda n: header[n][0] != "F32")
    entries, data = {}, b""
    for name in order:
        dtype, shape, raw = header[name]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 64)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_a_proj.weight": "attn_q_a.weight",
    "self_attn.q_a_layernorm.weight": "attn_q_a_norm.weight",
    "self_attn.q_b_proj.weight": "attn_q_b.weight",
    "self_attn.kv_a_proj_with_mqa.weight": "attn_kv_a_mqa.weight",
    "self_attn.kv_a_layernorm.weight": "attn_kv_a_norm.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "mlp.gate.weight": "ffn_gate_inp.weight",
    "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
}


def write_model(path, t, kind, split_kv_b, tokenizer):
    c = CONFIG
    w = gguf.GGUFWriter(path, "deepseek2")
    heads, nope, rope, v = c["num_attention_heads"], c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(heads)
    w.add_head_count_kv(1 if split_kv_b else heads)
    w.add_rope_freq_base(c["rope_theta"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_leading_dense_block_count(c["first_k_dense_replace"])
    w.add_vocab_size(c["vocab_size"])
    w.add_q_lora_rank(c["q_lora_rank"])
    w.add_kv_lora_rank(c["kv_lora_rank"])
    if split_kv_b:
        w.add_key_length(c["kv_lora_rank"] + rope)
        w.add_value_length(c["kv_lora_rank"])
        w.add_key_length_mla(nope + rope)
        w.add_value_length_mla(v)
    else:
        w.add_key_length(nope + rope)
        w.add_value_length(v)
    w.add_expert_feed_forward_length(c["moe_intermediate_size"])
    w.add_expert_count(c["n_routed_experts"])
    w.add_expert_used_count(c["num_experts_per_tok"])
    w.add_expert_shared_count(c["n_shared_experts"])
    w.add_expert_weights_scale(c["routed_scaling_factor"])
    w.add_expert_weights_norm(c["norm_topk_prob"])
    w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    w.add_expert_group_count(c["n_group"])
    w.add_expert_group_used_count(c["topk_group"])
    w.add_rope_dimension_count(rope)
    yarn = c["rope_scaling"]
    w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    w.add_rope_scaling_factor(yarn["factor"])
    w.add_rope_scaling_orig_ctx_len(yarn["original_max_position_embeddings"])
    w.add_rope_scaling_yarn_log_mul(0.1 * yarn["mscale_all_dim"])
    if tokenizer:
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre("deepseek-v3")
        letters, extra = {}, 0x100
        for byte in range(256):
            if 0x21 <= byte <= 0x7E or (byte >= 0xA1 and byte != 0xAD):
                letters[byte] = chr(byte)
            else:
                letters[byte] = chr(extra)
                extra += 1
        tokens = [letters[b] for b in range(256)] + ["he", "ll", "hell", "[PAD259]", "<s>", "</s>"]
        w.add_token_list(tokens)
        w.add_token_types([1] * 259 + [5, 3, 3])
        w.add_token_merges(["h e", "l l", "he ll"])
        w.add_bos_token_id(260)
        w.add_eos_token_id(261)
        w.add_add_bos_token(True)
        w.add_chat_template("{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}")
    else:
        w.add_tokenizer_model("none")
        w.add_bos_token_id(260)
        w.add_eos_token_id(261)

    def add(name, a):
        a = np.ascontiguousarray(a.astype(np.float32))
        if a.ndim == 1 or "gate_inp" in name:
            w.add_tensor(name, a)
        else:
            w.add_tensor(name, gguf.quantize(a, kind), raw_dtype=kind)

    add("token_embd.weight", t["model.embed_tokens.weight"])
    add("output_norm.weight", t["model.norm.weight"])
    add("output.weight", t["lm_head.weight"])
    for layer in range(c["num_hidden_layers"]):
        p, b = f"model.layers.{layer}.", f"blk.{layer}."
        for published, name in NAMES.items():
            if p + published in t:
                add(b + name, t[p + published])
        kv_b = t[p + "self_attn.kv_b_proj.weight"]
        if split_kv_b:
            by_head = kv_b.reshape(heads, nope + v, -1)
            add(b + "attn_k_b.weight", by_head[:, :nope].transpose(0, 2, 1))
            add(b + "attn_v_b.weight", by_head[:, nope:])
        else:
            add(b + "attn_kv_b.weight", kv_b)
        for x in ("gate", "up", "down"):
            if layer < c["first_k_dense_replace"]:
                add(f"{b}ffn_{x}.weight", t[f"{p}mlp.{x}_proj.weight"])
                continue
            add(f"{b}ffn_{x}_shexp.weight", t[f"{p}mlp.shared_experts.{x}_proj.weight"])
            add(f"{b}ffn_{x}_exps.weight",
                np.stack([t[f"{p}mlp.experts.{e}.{x}_proj.weight"] for e in range(c["n_routed_experts"])]))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_blocks():
    """Blocks of random bits but for their scales, and what the package makes of them."""
    w = gguf.GGUFWriter(os.path.join(HERE, "blocks.gguf"), "deepseek2")
    expected = {}
    scales = {Q.Q8_0: [0], Q.Q4_0: [0], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
    for kind, places in scales.items():
        cols, size = gguf.GGML_QUANT_SIZES[kind]
        rows, k = 3, 512
        data = RNG.integers(0, 256, size=(rows, k // cols, size), dtype=np.uint8)
        for place in places:
            scale = RNG.uniform(0.001, 0.1, size=(rows, k // cols)).astype(np.float16)
            data[..., place:place + 2] = scale[..., None].view(np.uint8)
        data = data.reshape(rows, -1)
        w.add_tensor(kind.name, data, raw_dtype=kind)
        expected[kind.name] = gguf.dequantize(data, kind).astype(np.float32)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    write_safetensors(os.path.join(HERE, "blocks.safetensors"), expected)


def main():
    t = tensors()
    with open(os.path.join(HERE, "published", "config.json"), "w") as file:
        json.dump(CONFIG, file, indent=2)
        file.write("\n")
    write_safetensors(os.path.join(HERE, "published", "model.safetensors"), t)
    write_model(os.path.join(HERE, "bf16.gguf"), t, Q.BF16, split_kv_b=True, tokenizer=True)
    write_model(os.path.join(HERE, "q8_0.gguf"), t, Q.Q8_0, split_kv_b=False, tokenizer=False)
    write_blocks()


main()
