#!/usr/bin/env python3
"""Kills a training run at random moments, lets it go on each time, and compares the end with a run that was left alone.

  tools/kill_training.py run.toml --kills 20 --set steps=200 --set checkpoints.every=10

Both runs are made under --work (a new temporary folder by default, kept if they differ). A kill is SIGKILL at a moment drawn evenly over
the time that the whole run took, so that steps, checkpoints, validation and samples are all hit. Exit code 0: every
file of the last checkpoint is the same, byte for byte, and so are the logs but for what the clock says.
FATHOM names our program (default build/release/fathom).
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

FATHOM = os.environ.get("FATHOM", str(pathlib.Path(__file__).resolve().parent.parent / "build/release/fathom"))


def train(args, output, resume):
    command = [FATHOM, "train", "--quiet", "--threads", str(args.threads)]
    command += ["--resume", str(output)] if resume else [args.config, "--set", f"output={output}"]
    for value in args.set:
        command += ["--set", value]
    return subprocess.Popen(command)


def checkpoints(output):
    folder = output / "checkpoints"
    return sorted(folder.glob("step-*")) if folder.is_dir() else []


def finish(process, what):
    if process.wait() != 0:
        sys.exit(f"kill_training: {what} ended with {process.returncode}")


def killed_run(args, output, seconds):
    """Kills that hit the program at work; a run that ends before its kill is begun again, longer ago."""
    kills, rng = 0, random.Random(args.seed)
    while kills < args.kills:
        before = len(checkpoints(output))
        process = train(args, output, resume=before > 0)
        # A share of the whole: most starts get past a checkpoint, and the run does not end too early.
        time.sleep(rng.uniform(0, 2.5 * seconds / args.kills))
        if process.poll() is None:
            process.kill()
            process.wait()
            kills += 1
            at = checkpoints(output)[-1].name if checkpoints(output) else "no checkpoint"
            print(f"kill {kills}: {at}", flush=True)
        elif process.returncode != 0:
            sys.exit(f"kill_training: the run ended with {process.returncode}")
        else:
            print(f"complete after {kills} kills; once more from the beginning", flush=True)
            shutil.rmtree(output)
    finish(train(args, output, resume=bool(checkpoints(output))), "the killed run")


def log_of(output):
    lines = []
    for text in (output / "log.jsonl").read_text().splitlines():
        line = json.loads(text)
        line.pop("tokens_per_s", None)
        lines.append(line)
    return lines


def differences(whole, killed):
    a, b = checkpoints(whole)[-1], checkpoints(killed)[-1]
    if a.name != b.name:
        return [f"{a.name} and {b.name}"]
    names = sorted({p.name for p in a.iterdir()} | {p.name for p in b.iterdir()})
    found = []
    for name in names:
        if not (a / name).is_file() or not (b / name).is_file() or (a / name).read_bytes() != (b / name).read_bytes():
            found.append(f"{a.name}/{name}")
    return found + ([] if log_of(whole) == log_of(killed) else ["log.jsonl"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--work", type=pathlib.Path)
    args = parser.parse_args()
    work = args.work or pathlib.Path(tempfile.mkdtemp(prefix="kill_training_"))
    whole, killed = (work / "whole").resolve(), (work / "killed").resolve()
    start = time.monotonic()
    finish(train(args, whole, resume=False), "the whole run")
    seconds = time.monotonic() - start
    print(f"left alone: {checkpoints(whole)[-1].name} in {seconds:.1f} s, seed {args.seed}", flush=True)
    killed_run(args, killed, seconds)
    found = differences(whole, killed)
    if found:
        sys.exit(f"kill_training: {', '.join(found)} differ; both runs are in {work}")
    print(f"killed {args.kills} times: every byte of {checkpoints(whole)[-1].name} is that of the run left alone")
    if not args.work:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
