#!/usr/bin/env python3
"""How long until a model's first token, beside a plain program that maps the same files and reads what a token needs.

  bench/load_time.py FOLDER [--rounds 5] [--threads 2]

Both are started afresh in turns, the files being in the page cache (each runs once before). FATHOM names our program (default
build/release/fathom), FATHOM_TOUCH the plain one (default build/release/bench/touch_weights; cmake --preset release -DFATHOM_BENCH=ON).
Asked for is 1.25 times its time and 0.3 s.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
FATHOM = os.environ.get("FATHOM", HERE.parent / "build/release/fathom")
TOUCH = os.environ.get("FATHOM_TOUCH", HERE.parent / "build/release/bench/touch_weights")


def timed(command):
    """Seconds, and what it printed."""
    begin = time.monotonic()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"load_time: {command[0]} failed: {done.stderr.strip()}")
    return time.monotonic() - begin, done.stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    config = json.loads((args.folder / "config.json").read_text(encoding="utf-8"))
    touch = [TOUCH, args.folder, config["num_hidden_layers"], config["num_experts_per_tok"], args.threads]
    first = [FATHOM, "generate", "--model", args.folder, "--max-tokens", 1, "--temperature", 0, "--threads", args.threads, "a"]
    times = {"plain": [], "fathom": []}
    printed = {}
    for round_ in range(args.rounds + 1):
        for name, command in ("plain", touch), ("fathom", first):
            taken, printed[name] = timed(command)
            if round_ > 0:
                times[name].append(taken)
    plain, ours = (statistics.median(times[name]) for name in ("plain", "fathom"))
    print(printed["plain"])
    print(f"plain program {plain:.3f} s, first token {ours:.3f} s: {ours / plain:.2f} times; 1.25 times and 0.3 s are {1.25 * plain + 0.3:.3f} s")


if __name__ == "__main__":
    main()
