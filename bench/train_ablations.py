#!/usr/bin/env python3
"""The report's ablations on a small model: balancing without an auxiliary loss, and multi-token prediction.

  bench/train_ablations.py run.toml OUT [--steps 1000] [--only bias,none] [--text validation.jsonl]

Trains the run of the file in turn as
  bias       as it stands: the router's bias, and a balance loss of the file's alpha
  auxiliary  the balance loss alone, of the strength --alpha (0.01)
  none       neither
  no-mtp     as bias, without the multi-token prediction loss
each into OUT/NAME (one that is finished is not run again), and prints of each the held-out loss of the main model, and over the last
quarter of the steps the training loss and how far the fullest expert of a layer is above the mean (MaxVio: a step's, and over all these
steps together). With --text (lines of {"text"}) also how often the MTP module's first choice for the second next token is the main
model's, which is what speculation lives on (needs numpy).
"""
import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BEGINNING = 1200  # characters of a text: fewer tokens than a small context
FATHOM = os.environ.get("FATHOM", os.path.join(HERE, "../build/release/fathom"))


def train(config, out, steps, changes):
    if os.path.isdir(os.path.join(out, "checkpoints", f"step-{steps:08d}")):
        return
    command = [FATHOM, "train", config]
    for change in [f"output={os.path.abspath(out)}", f"steps={steps}", "checkpoints.every=0", "sample.every=0", *changes]:
        command += ["--set", change]
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit(f"{' '.join(command)} failed")


def violation(loads):
    """Of a layer's tokens by expert: the fullest above the mean, as a share of it."""
    if sum(loads) == 0:  # an MTP module that is not trained
        return 0.0
    return max(loads) * len(loads) / sum(loads) - 1


def summary(out):
    with open(os.path.join(out, "log.jsonl"), encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    held_out = [r["validation_loss"] for r in records if "validation_loss" in r]
    steps = [r for r in records if "loss_main" in r]
    last = steps[-(len(steps) // 4):]
    layers = range(len(last[0]["loads"]))
    together = [[sum(r["loads"][layer][e] for r in last) for e in range(len(last[0]["loads"][layer]))] for layer in layers]
    return {
        "held out": held_out[-1] if held_out else float("nan"),
        "training": statistics.mean(r["loss_main"] for r in last),
        "MaxVio step": statistics.mean(max(violation(r["loads"][layer]) for layer in layers) for r in last),
        "MaxVio all": max(violation(loads) for loads in together),
    }


def tensors(path):
    """(name, F32 array) of a safetensors file, one at a time."""
    import numpy
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                file.seek(8 + size + begin)
                yield name, numpy.frombuffer(file.read(end - begin), dtype="<f4").reshape(entry["shape"])


def acceptance(out, steps, text, n_lines):
    """Row t of the MTP logits foresees the token after ids[t + 1]; so does row t + 1 of the main model's."""
    same = total = 0
    model = os.path.join(out, "checkpoints", f"step-{steps:08d}")
    with tempfile.TemporaryDirectory() as folder, open(text, encoding="utf-8") as lines:
        for _, line in zip(range(n_lines), lines):
            beginning = json.dumps({"text": json.loads(line)["text"][:BEGINNING]})
            logits = os.path.join(folder, "logits.safetensors")
            subprocess.run([FATHOM, "score", "--model", model, "--logits", logits, "--force", "-"], input=beginning.encode(),
                           stdout=subprocess.DEVNULL, check=True)
            best = {name.split(".")[0]: values.argmax(axis=1) for name, values in tensors(logits)}
            agree = best["mtp_logits"] == best["logits"][1:]
            same, total = same + int(agree.sum()), total + len(agree)
    return same / total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("out")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--alpha", type=float, default=0.01, help="of the auxiliary loss where it balances alone")
    parser.add_argument("--only", default="bias,auxiliary,none,no-mtp")
    parser.add_argument("--text", help="JSON Lines of {\"text\"}, for the acceptance")
    parser.add_argument("--lines", type=int, default=20, help="of --text, their first 1,200 characters")
    arguments = parser.parse_args()
    if arguments.text and importlib.util.find_spec("numpy") is None:
        sys.exit("train_ablations: --text needs numpy; install it, or leave --text out")
    variants = {
        "bias": [],
        "auxiliary": ["balance.bias_speed=0", f"balance.alpha={arguments.alpha}"],
        "none": ["balance.bias_speed=0", "balance.alpha=0"],
        "no-mtp": ["mtp.lambda=0"],
    }
    names = arguments.only.split(",")
    if unknown := [name for name in names if name not in variants]:
        sys.exit(f"no variant {unknown[0]}; there are {', '.join(variants)}")
    rows = {}
    for name in names:
        out = os.path.join(arguments.out, name)
        train(arguments.config, out, arguments.steps, variants[name])
        rows[name] = summary(out)
        if arguments.text and name != "no-mtp":
            rows[name]["MTP accepted"] = acceptance(out, arguments.steps, arguments.text, arguments.lines)
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    print(f"{'':10}" + "".join(f"{column:>14}" for column in columns))
    for name, row in rows.items():
        print(f"{name:10}" + "".join(f"{row[column]:14.4f}" if column in row else f"{'':14}" for column in columns))


if __name__ == "__main__":
    main()
