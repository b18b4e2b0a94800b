#!/usr/bin/env python3
"""Fathom beside a peer, turn by turn, on one machine: prefill and decode of one model.

  FATHOM_PEER_BENCH=/path/to/llama-bench bench/compare.py --model ours --peer-model same.gguf

The peer is a program that takes llama-bench's arguments and prints its JSON (llama.cpp and its forks). Each
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


def run_json(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"compare: {command[0]} failed: {done.stderr.strip().splitlines()[-1:] or 'no message'}")
    return json.loads(done.stdout)


def ours(args, kind, depth):
    """Tokens per second of one test, and the result as bench prints it."""
    command = [args.fathom, "bench", "--threads", args.threads, "--repeat", 1, "--json", "--quiet",
               "--depth", depth, "--seconds", 1, *args.fathom_args]
    command += ["--model", args.model] if args.model else []
    command += ["--prompt", args.prompt] if kind == "prefill" else ["--prompt", args.prompt, "--batch", 1]
    for result in run_json(command)["results"]:
        if result["test"] == kind:
            return result["tokens_per_s"], result
    sys.exit(f"compare: fathom bench printed no {kind}")


def peer(args, kind, depth):
    n_prompt, n_gen = (args.prompt, 0) if kind == "prefill" else (0, args.generate)
    found = run_json([args.peer, "-m", args.peer_model, "-t", args.threads, "-r", 1, "-o", "json",
                      "-p", n_prompt, "-n", n_gen, "-d", depth, *args.peer_args])
    return found[-1]["avg_ts"]


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-model", required=True, help="a GGUF file")
    parser.add_argument("--model", help="what Fathom runs; default: the peer's file")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--depths", default="0")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--fathom-args", type=str.split, default=[])
    parser.add_argument("--peer-args", type=str.split, default=[])
    args = parser.parse_args()
    args.model = args.model or args.peer_model
    args.fathom = os.environ.get("FATHOM", pathlib.Path(__file__).parent.parent / "build/release/fathom")
    args.peer = os.environ.get("FATHOM_PEER_BENCH")
    if not args.peer:
        parser.error("FATHOM_PEER_BENCH is not set: the path of a llama-bench program")
    return args


def main():
    args = parse_args()
    for depth in (int(word) for word in args.depths.split(",")):
        for kind in ("prefill", "decode"):
            mine, theirs, shares = [], [], []
            for _ in range(args.rounds):
                speed, result = ours(args, kind, depth)
                mine.append(speed)
                shares.append(max(result["share_of_bandwidth"], result["share_of_peak"]))
                theirs.append(peer(args, kind, depth))
            ratio = statistics.median(a / b for a, b in zip(mine, theirs))
            print(f"{kind:8} depth {depth:6}  fathom {statistics.median(mine):9.2f} tokens/s "
                  f"({100 * statistics.median(shares):.0f} % of the nearer limit)  "
                  f"peer {statistics.median(theirs):9.2f}  ratio {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
