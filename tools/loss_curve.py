#!/usr/bin/env python3
"""Draws the losses of runs as SVG: tools/loss_curve.py OUT.svg NAME=log.jsonl [NAME=log.jsonl ...]

Each run's training loss (main model, smoothed by an exponential mean of 0.98) over the tokens seen, and its validation
losses as dots. With two runs it also prints the mean relative difference of their smoothed losses (weight 0.9) over the
second half of the steps that both have.
"""
import json
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 460, 60, 20, 20, 46
COLOURS = ["#1f6fb2", "#c8502d", "#3a8a4d", "#7a4fa3"]


def read(path):
    steps, validation, tokens_at = [], [], {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            if record.get("loss_main") is not None:  # null: a step whose loss was not finite
                steps.append((record["step"], record["tokens"], record["loss_main"]))
                tokens_at[record["step"]] = record["tokens"]
            elif "validation_loss" in record:
                validation.append((tokens_at.get(record["step"], 0), record["validation_loss"]))
    return steps, validation


def smoothed(values, weight):
    out, mean, total = [], 0.0, 0.0
    for value in values:
        mean, total = weight * mean + (1 - weight) * value, weight * total + (1 - weight)
        out.append(mean / total)
    return out


def ticks(low, high, n):
    step = (high - low) / n
    power = 10 ** len(str(int(1 / step))) if step < 1 else 1
    scale = 10.0 ** (len(str(int(step))) - 1) if step >= 1 else 1 / power
    step = next(s * scale for s in (1, 2, 5, 10, 20, 50, 100) if s * scale >= step)
    first = int(low / step) + (1 if low > int(low / step) * step else 0)
    return [i * step for i in range(first, int(high / step) + 1)]


def main():
    if len(sys.argv) < 3 or any("=" not in run for run in sys.argv[2:]):
        sys.exit(__doc__)
    runs = []
    for argument in sys.argv[2:]:
        name, path = argument.split("=", 1)
        runs.append((name, *read(path)))
    most = max(tokens for _, steps, _ in runs for _, tokens, _ in steps)
    lines = [smoothed([loss for _, _, loss in steps], 0.98) for _, steps, _ in runs]
    low = min(min(line) for line in lines) - 0.1
    high = min(max(max(line) for line in lines), low + 4)

    def x(tokens):
        return LEFT + (WIDTH - LEFT - RIGHT) * tokens / most

    def y(loss):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - min(loss, high)) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for value in ticks(low, high, 6):
        out.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in ticks(0, most / 1e6, 8):
        out.append(f'<text x="{x(value * 1e6):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:g}M</text>')
    out.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">tokens</text>'
               f'<text x="16" y="{HEIGHT / 2}" transform="rotate(-90 16 {HEIGHT / 2})" text-anchor="middle">'
               'loss, nats a token</text>')
    for i, ((name, steps, validation), line) in enumerate(zip(runs, lines)):
        colour = COLOURS[i % len(COLOURS)]
        every = max(1, len(steps) // 800)
        points = " ".join(f"{x(t):.1f},{y(loss):.1f}" for (_, t, _), loss in list(zip(steps, line))[::every])
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        out += [f'<circle cx="{x(t):.1f}" cy="{y(loss):.1f}" r="3.2" fill="none" stroke="{colour}"/>'
                for t, loss in validation]
        out.append(f'<text x="{WIDTH - RIGHT - 8}" y="{TOP + 18 + 18 * i}" text-anchor="end" fill="{colour}">'
                   f"{name}: training (line), held out (circles)</text>")
    out.append("</svg>\n")
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write("\n".join(out))
    if len(runs) == 2:
        first, second = (smoothed([loss for _, _, loss in steps], 0.9) for _, steps, _ in runs)
        n = min(len(first), len(second))
        part = [abs(a - b) / b for a, b in zip(first[n // 2:n], second[n // 2:n])]
        print(f"relative difference over steps {n // 2 + 1} to {n}: mean {100 * sum(part) / len(part):.3f} %, "
              f"largest {100 * max(part):.3f} %")


if __name__ == "__main__":
    main()
