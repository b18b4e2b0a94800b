#!/usr/bin/env python3
"""Training speed beside PyTorch: one shape, one machine, turn by turn.

  bench/train_pytorch.py run.toml                  # needs torch (pip install torch), Python 3.11
  bench/train_pytorch.py run.toml --only pytorch   # without Fathom and without its shards

PyTorch trains the shape of the run's configuration (model.inline or model.config) on random tokens: F32 and BF16 autocast, at
each of --batches; experts gathered by a stable sort with one product a projection, scaled_dot_product_attention,
fused AdamW, clipping, router biases, and the MTP module if the shape has one. The fastest of them is the one that counts.
Then Fathom (`fathom train` on the configuration itself, evaluation, samples and checkpoints off) and that one take
turns for --rounds; what is printed is the median of each, and of the rounds' ratios. FATHOM names our program (default
build/release/fathom).
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    sys.exit("train_pytorch: torch is missing; `pip install torch` in an environment of your own")

FATHOM = os.environ.get("FATHOM", str(pathlib.Path(__file__).resolve().parent.parent / "build/release/fathom"))


class Norm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps)


def matrix(n_out, n_in, std):
    return nn.Parameter(torch.randn(n_out, n_in) * std)


def rotate(x, cos, sin):
    """Pairs of neighbours turned by their position; x [..., t, dim], cos and sin [t, dim / 2]."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


class Attention(nn.Module):
    """Multi-head latent attention, the naive form."""

    def __init__(self, c, std):
        super().__init__()
        self.c = c
        heads, qk = c["num_attention_heads"], c["qk_nope_head_dim"] + c["qk_rope_head_dim"]
        hidden, rank = c["hidden_size"], c["kv_lora_rank"]
        self.q_rank = c.get("q_lora_rank") or 0
        if self.q_rank:
            self.q_a_proj = matrix(self.q_rank, hidden, std)
            self.q_a_layernorm = Norm(self.q_rank, c["rms_norm_eps"])
            self.q_b_proj = matrix(heads * qk, self.q_rank, std)
        else:
            self.q_proj = matrix(heads * qk, hidden, std)
        self.kv_a_proj_with_mqa = matrix(rank + c["qk_rope_head_dim"], hidden, std)
        self.kv_a_layernorm = Norm(rank, c["rms_norm_eps"])
        self.kv_b_proj = matrix(heads * (c["qk_nope_head_dim"] + c["v_head_dim"]), rank, std)
        self.o_proj = matrix(hidden, heads * c["v_head_dim"], std)

    def forward(self, x, cos, sin):
        c, (n, t, _) = self.c, x.shape
        heads, nope, rope, v_dim = (c[k] for k in ("num_attention_heads", "qk_nope_head_dim", "qk_rope_head_dim",
                                                   "v_head_dim"))
        if self.q_rank:
            q = F.linear(self.q_a_layernorm(F.linear(x, self.q_a_proj)), self.q_b_proj)
        else:
            q = F.linear(x, self.q_proj)
        q_nope, q_rope = q.view(n, t, heads, nope + rope).transpose(1, 2).split((nope, rope), dim=-1)
        latent, k_rope = F.linear(x, self.kv_a_proj_with_mqa).split((c["kv_lora_rank"], rope), dim=-1)
        kv = F.linear(self.kv_a_layernorm(latent), self.kv_b_proj)
        k_nope, v = kv.view(n, t, heads, nope + v_dim).transpose(1, 2).split((nope, v_dim), dim=-1)
        q_rope = rotate(q_rope, cos, sin).to(q.dtype)
        k_rope = rotate(k_rope, cos, sin).to(q.dtype).unsqueeze(1).expand(-1, heads, -1, -1)
        q = torch.cat((q_nope, q_rope), dim=-1)
        k = torch.cat((k_nope, k_rope), dim=-1)
        # The fast kernel wants values as wide as keys.
        v = F.pad(v, (0, nope + rope - v_dim)) if v_dim < nope + rope else v
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)[..., :v_dim]
        return F.linear(out.transpose(1, 2).reshape(n, t, heads * v_dim), self.o_proj)


class Mlp(nn.Module):
    """SwiGLU; gate and up in one matrix."""

    def __init__(self, hidden, inner, std):
        super().__init__()
        self.gate_up = matrix(2 * inner, hidden, std)
        self.down = matrix(hidden, inner, std)

    def forward(self, x):
        gate, up = F.linear(x, self.gate_up).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * up, self.down)


class Moe(nn.Module):
    def __init__(self, c, std):
        super().__init__()
        self.c = c
        n, hidden, inner = c["n_routed_experts"], c["hidden_size"], c["moe_intermediate_size"]
        self.gate = matrix(n, hidden, std)
        self.register_buffer("bias", torch.zeros(n))
        self.loads = None  # of the last pass
        self.experts = nn.ModuleList(Mlp(hidden, inner, std) for _ in range(n))
        self.shared = Mlp(hidden, inner * c["n_shared_experts"], std) if c.get("n_shared_experts") else None

    def choose(self, scores):
        c, biased = self.c, scores.detach() + self.bias
        n_group, k = c.get("n_group", 1), c["num_experts_per_tok"]
        if n_group > 1:
            grouped = biased.view(len(biased), n_group, -1)
            best = grouped.topk(2, dim=-1).values.sum(-1).topk(c["topk_group"], dim=-1).indices
            keep = torch.zeros(len(biased), n_group, dtype=torch.bool).scatter_(1, best, True)
            biased = grouped.masked_fill(~keep.unsqueeze(-1), float("-inf")).flatten(1)
        return biased.topk(k, dim=-1).indices

    def balance(self, scores, n_sequences):
        """The sequence-wise balance term without its factor (report, eq. 17 to 20)."""
        c, k = self.c, self.c["num_experts_per_tok"]
        s = scores.view(n_sequences, -1, c["n_routed_experts"])
        top = torch.zeros_like(s).scatter_(2, s.detach().topk(k, dim=-1).indices, 1.0)
        share = (s / s.sum(-1, keepdim=True)).mean(1)
        return (top.mean(1) * share).sum() * c["n_routed_experts"] / k / n_sequences

    def forward(self, x):
        c, k, (n_sequences, _, hidden) = self.c, self.c["num_experts_per_tok"], x.shape
        rows = x.reshape(-1, hidden)
        scores = torch.sigmoid(F.linear(rows, self.gate).float())
        chosen = self.choose(scores)
        weights = scores.gather(1, chosen)
        if c.get("norm_topk_prob", True):
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        weights = weights * c["routed_scaling_factor"]
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        self.loads = flat.bincount(minlength=c["n_routed_experts"])
        source = order // k
        pieces = rows[source].split(self.loads.tolist())
        out = torch.cat([expert(piece) for expert, piece in zip(self.experts, pieces) if len(piece)])
        out = out.float() * weights.flatten()[order].unsqueeze(1)
        start = self.shared(rows).float() if self.shared else torch.zeros_like(rows, dtype=torch.float32)
        return start.index_add(0, source, out).view_as(x), self.balance(scores, n_sequences)

    def update_bias(self, speed):
        loads = self.loads.float()
        self.bias += speed * torch.sign(loads.mean() - loads)


class Block(nn.Module):
    def __init__(self, c, layer, std):
        super().__init__()
        hidden, eps = c["hidden_size"], c["rms_norm_eps"]
        self.input_layernorm, self.post_attention_layernorm = Norm(hidden, eps), Norm(hidden, eps)
        self.attention = Attention(c, std)
        dense = layer < c["first_k_dense_replace"]
        self.mlp = Mlp(hidden, c["intermediate_size"], std) if dense else Moe(c, std)

    def forward(self, x, cos, sin):
        x = x + self.attention(self.input_layernorm(x), cos, sin)
        out = self.mlp(self.post_attention_layernorm(x))
        out, balance = out if isinstance(out, tuple) else (out, 0.0)
        return x + out, balance


class Mtp(nn.Module):
    def __init__(self, c, std):
        super().__init__()
        hidden, eps = c["hidden_size"], c["rms_norm_eps"]
        self.enorm, self.hnorm, self.norm = Norm(hidden, eps), Norm(hidden, eps), Norm(hidden, eps)
        self.eh_proj = matrix(hidden, 2 * hidden, std)
        self.block = Block(c, c["num_hidden_layers"], std)

    def forward(self, embedded, hidden, cos, sin):
        x = F.linear(torch.cat((self.enorm(embedded), self.hnorm(hidden)), dim=-1), self.eh_proj)
        x, balance = self.block(x, cos, sin)
        return self.norm(x), x, balance


class Model(nn.Module):
    def __init__(self, c, std):
        super().__init__()
        self.c = c
        self.embed = matrix(c["vocab_size"], c["hidden_size"], std)
        self.blocks = nn.ModuleList(Block(c, i, std) for i in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.head = matrix(c["vocab_size"], c["hidden_size"], std)
        self.mtp = nn.ModuleList(Mtp(c, std) for _ in range(c.get("num_nextn_predict_layers", 0)))

    def loss(self, tokens, mtp_lambda, alpha):
        """tokens [n, t + 1]; main, MTP and whole loss."""
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        t, dim = inputs.shape[1], self.c["qk_rope_head_dim"]
        angles = torch.outer(torch.arange(t).float(), self.c["rope_theta"] ** (-torch.arange(0, dim, 2).float() / dim))
        cos, sin = angles.cos(), angles.sin()
        x, balance = F.embedding(inputs, self.embed), 0.0
        for block in self.blocks:
            x, term = block(x, cos, sin)
            balance = balance + term
        hidden = self.norm(x)
        main = self.cross_entropy(hidden, targets)
        mtp = torch.zeros(())
        for depth, module in enumerate(self.mtp, start=1):
            kept = t - depth
            embedded = F.embedding(inputs[:, depth:], self.embed)
            normed, hidden, term = module(embedded, hidden[:, :kept], cos[:kept], sin[:kept])
            mtp = mtp + self.cross_entropy(normed, targets[:, depth:]) / len(self.mtp)
            balance = balance + term
        return main, mtp, main + mtp_lambda * mtp + alpha * balance

    def cross_entropy(self, x, targets):
        return F.cross_entropy(F.linear(x, self.head).flatten(0, 1).float(), targets.flatten())


class Training:
    """A model and its optimiser; step() is one whole step."""

    def __init__(self, shape, length, batch, autocast):
        torch.manual_seed(1)
        self.name = f"{'BF16 autocast' if autocast else 'F32'}, batch {batch}"
        self.model = Model(shape, std=0.02)
        self.autocast, self.vocab, self.size = autocast, shape["vocab_size"], (batch, length + 1)
        matrices = [p for p in self.model.parameters() if p.dim() > 1]
        norms = [p for p in self.model.parameters() if p.dim() == 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}],
            lr=1e-3, betas=(0.9, 0.95), eps=1e-8, fused=True)

    def step(self):
        tokens = torch.randint(self.vocab, self.size)
        self.optimizer.zero_grad(set_to_none=True)
        context = torch.autocast("cpu", dtype=torch.bfloat16) if self.autocast else contextlib.nullcontext()
        with context:
            _, _, loss = self.model.loss(tokens, mtp_lambda=0.3, alpha=1e-4)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            for module in self.model.modules():
                if isinstance(module, Moe):
                    module.update_bias(0.001)

    def tokens_per_s(self, steps):
        times = []
        for _ in range(steps + 1):  # the first warms up
            start = time.perf_counter()
            self.step()
            times.append(time.perf_counter() - start)
        return self.size[0] * (self.size[1] - 1) / statistics.median(times[1:])


def fathom_dry_run(args):
    command = [FATHOM, "train", args.config, "--dry-run", "--json", "--threads", str(args.threads)]
    for value in args.set:
        command += ["--set", value]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr.strip())
    return json.loads(done.stdout)


def fathom_tokens_per_s(args):
    with tempfile.TemporaryDirectory(prefix="train_pytorch_") as folder:
        command = [FATHOM, "train", args.config, "--quiet", "--threads", str(args.threads)]
        own = [f"output={folder}/run", f"steps={args.fathom_steps + 1}", "evaluate.every=0", "sample.every=0",
               "checkpoints.every=0"]
        for value in args.set + own:
            command += ["--set", value]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stderr.strip())
        lines = [json.loads(line) for line in pathlib.Path(folder, "run/log.jsonl").read_text().splitlines()]
    return statistics.median(line["tokens_per_s"] for line in lines[1:])


def read_shape(config):
    run = tomllib.loads(pathlib.Path(config).read_text())
    shape = run["model"].get("inline")
    if shape is None:
        path = pathlib.Path(config).parent / run["model"].get("config", "config.json")
        shape = json.loads(path.read_text())
    if shape.get("rope_scaling"):
        sys.exit("train_pytorch: YaRN is left out here; give a shape without rope_scaling")
    return shape, run["data"]["sequence_length"]


def fastest(args, shape, length):
    best, best_speed = None, 0.0
    for autocast in (False, True):
        for batch in (int(word) for word in args.batches.split(",")):
            training = Training(shape, length, batch, autocast)
            speed = training.tokens_per_s(args.steps)
            print(f"  PyTorch {torch.__version__}, {training.name:24} {speed:9.0f} tokens/s", flush=True)
            if speed > best_speed:
                best, best_speed = training, speed
    return best


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a run's configuration")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", default="4,8,16", help="sequences of PyTorch's step (default 4,8,16)")
    parser.add_argument("--steps", type=int, default=5, help="steps of a measurement of PyTorch")
    parser.add_argument("--fathom-steps", type=int, default=20, help="steps of a measurement of Fathom")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["pytorch"], help="leave Fathom out")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="for `fathom train`")
    return parser.parse_args()


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    shape, length = read_shape(args.config)
    best = fastest(args, shape, length)
    if args.only == "pytorch":
        return
    cost = fathom_dry_run(args)
    mine, theirs = [], []
    for _ in range(args.rounds):
        mine.append(fathom_tokens_per_s(args))
        theirs.append(best.tokens_per_s(args.steps))
    peak = cost["bf16_gflop_s"]
    for name, speeds in (("fathom", mine), (f"PyTorch, {best.name}", theirs)):
        speed = statistics.median(speeds)
        gflop_s = speed * cost["flops_per_token"] / 1e9
        print(f"{name:32} {speed:9.0f} tokens/s  {gflop_s:7.0f} GFLOP/s  {100 * gflop_s / peak:5.1f} % of the BF16 peak")
    print(f"ratio {statistics.median(a / b for a, b in zip(mine, theirs)):.2f} (median of {args.rounds} rounds)")


if __name__ == "__main__":
    main()
