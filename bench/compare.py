#!/usr/bin/env python3
"""Fathom beside a peer, turn by turn, on one machine: prefill and decode of one model, and batches.

  FATHOM_PEER_BENCH=/path/to/llama-bench bench/compare.py --model ours --peer-model same.gguf
  FATHOM_PEER_BATCHED_BENCH=/path/to/llama-batched-bench bench/compare.py ... --batches 4,16

The peer is a program that takes llama-bench's arguments and prints its JSON (llama.cpp and its forks; those that
know no -d are asked at depth 0, or with --peer-depth gp for generation alone behind a prompt). Each
round runs every test once with each, one directly after the other, so that a machine which drifts drifts for
both; what is printed is the median of each and of the rounds' ratios. --model defaults to the peer's file.
FATHOM names our program (default build/release/fathom).
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile


def run(command):
    # Somewhere else: some peers write a log where they are started.
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace",
                          check=False, cwd=tempfile.gettempdir())


def run_json(command):
    done = run(command)
    if done.returncode != 0:
        sys.exit(f"compare: {command[0]} failed: {done.stderr.strip().splitlines()[-1:] or 'no message'}")
    return json.loads(done.stdout)


def ours(args, kind, depth, batch=1):
    """Tokens per second of one test, and the result as bench prints it."""
    command = [args.fathom, "bench", "--threads", args.threads, "--repeat", 1, "--json", "--quiet",
               "--depth", depth, "--seconds", 1, *args.fathom_args]
    command += ["--model", args.model]
    command += ["--prompt", args.prompt, "--batch", "none"] if kind == "prefill" else ["--prompt", "none", "--batch", batch]
    for result in run_json(command)["results"]:
        if result["test"] == kind:
            return result["tokens_per_s"], result
    sys.exit(f"compare: fathom bench printed no {kind}")


def peer(args, kind, depth):
    n_prompt, n_gen = (args.prompt, 0) if kind == "prefill" else (0, args.generate)
    test = ["-p", n_prompt, "-n", n_gen] + (["-d", depth] if depth else [])
    if depth and args.peer_depth == "gp":
        test = ["-p", 0, "-n", 0, "-gp", f"{depth},{n_gen}"]
    found = run_json([args.peer, "-m", args.peer_model, "-t", args.threads, "-r", 1, "-o", "json", *test,
                      *args.peer_args])
    return found[-1]["avg_ts"]


def peer_batch(args, n):
    """Tokens per second of all n sequences together, each behind a short prompt."""
    length = args.generate
    command = [args.batched, "-m", args.peer_model, "-t", args.threads, "-c", 2 * length * n, "-npp", length,
               "-ntg", length, "-npl", n, "--output-format", "jsonl", *args.peer_args]
    done = run(command)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        sys.exit(f"compare: {args.batched} failed: {done.stderr.strip().splitlines()[-1:] or 'no message'}")
    return json.loads(lines[-1])["speed_tg"]


def program(variable, default=None):
    path = os.environ.get(variable, default)
    return os.path.abspath(path) if path else None


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-model", required=True, help="a GGUF file")
    parser.add_argument("--model", help="what Fathom runs; default: the peer's file")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--depths", default="0")
    parser.add_argument("--batches", default="", help="also so many sequences at once, such as 4,8,16")
    parser.add_argument("--kinds", default="prefill,decode")
    parser.add_argument("--peer-depth", choices=["d", "gp"], default="d", help="how the peer is told a depth")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--fathom-args", type=str.split, default=[])
    parser.add_argument("--peer-args", type=str.split, default=[])
    args = parser.parse_args()
    args.peer_model = os.path.abspath(args.peer_model)
    args.model = os.path.abspath(args.model or args.peer_model)
    args.fathom = program("FATHOM", pathlib.Path(__file__).parent.parent / "build/release/fathom")
    args.peer = program("FATHOM_PEER_BENCH")
    args.batched = program("FATHOM_PEER_BATCHED_BENCH")
    if not args.peer and args.kinds:
        parser.error("FATHOM_PEER_BENCH is not set: the path of a llama-bench program")
    if not args.batched and args.batches:
        parser.error("FATHOM_PEER_BATCHED_BENCH is not set: the path of a llama-batched-bench program")
    return args


def compare(args, name, measure_ours, measure_theirs):
    mine, theirs, shares = [], [], []
    for _ in range(args.rounds):
        speed, result = measure_ours()
        mine.append(speed)
        shares.append(max(result["share_of_bandwidth"], result["share_of_peak"]))
        theirs.append(measure_theirs())
    ratio = statistics.median(a / b for a, b in zip(mine, theirs))
    print(f"{name:22}  fathom {statistics.median(mine):9.2f} tokens/s "
          f"({100 * statistics.median(shares):.0f} % of the nearer limit)  "
          f"peer {statistics.median(theirs):9.2f}  ratio {ratio:.2f}", flush=True)


def main():
    args = parse_args()
    for depth in (int(word) for word in args.depths.split(",")):
        for kind in args.kinds.split(",") if args.kinds else []:
            compare(args, f"{kind:8} depth {depth:6}", lambda kind=kind, depth=depth: ours(args, kind, depth),
                    lambda kind=kind, depth=depth: peer(args, kind, depth))
    for n in (int(word) for word in args.batches.split(",") if word):
        compare(args, f"{n:3} sequences", lambda n=n: ours(args, "decode", 0, n), lambda n=n: peer_batch(args, n))


if __name__ == "__main__":
    main()
