#!/usr/bin/env bash
# FP8 against BF16: the same run in both precisions, the losses drawn and compared (report, figure 10; loss error below
# 0.25 % there).
#   bench/train_precisions.sh run.toml OUT [STEPS]
# OUT gets the two runs and losses.svg; the last line is the mean relative difference of the smoothed losses over the
# second half of the steps.
set -eu
[ $# -ge 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
config=$1 out=$2 steps=${3:-1000}
fathom=${FATHOM:-$(dirname "$0")/../build/release/fathom}
mkdir -p "$out"
out=$(cd "$out" && pwd)
for precision in fp8 bf16; do
  [ -n "$(ls "$out/$precision/checkpoints" 2>/dev/null)" ] ||
    "$fathom" train "$config" --set precision=$precision --set "output=$out/$precision" --set steps="$steps" \
      --set checkpoints.every=0 --set sample.every=0
done
python3 "$(dirname "$0")/../tools/loss_curve.py" "$out/losses.svg" "FP8=$out/fp8/log.jsonl" "BF16=$out/bf16/log.jsonl"
