#!/usr/bin/env bash
# A first training, from text to a chat: a tokenizer of the sample corpus, shards, a model of 1.5M parameters
# trained for some five minutes on two cores, and a conversation with it. From a clone that is built (`make`).
#   examples/first_training.sh
# Everything it makes lies in runs/first; a run that was stopped goes on when it is started again.
set -eu
cd "$(dirname "$0")/.."
fathom=${FATHOM:-build/release/fathom}
corpus=examples/corpus
out=runs/first

[ -e $out/tokenizer/tokenizer.json ] ||
  "$fathom" tokenizer train $corpus/stories.jsonl.xz $corpus/talks.jsonl.xz --vocab-size 2048 --model-max-length 256 \
    --output $out/tokenizer
for part in stories talks; do
  [ -e $out/$part/index.json ] ||
    "$fathom" data $corpus/$part.jsonl.xz --tokenizer $out/tokenizer --output $out/$part --validation-fraction 0.02
done
if [ -e $out/tiny/run.toml ] && [ -n "$(ls $out/tiny/checkpoints 2>/dev/null)" ]; then
  "$fathom" train --resume $out/tiny
else
  "$fathom" train examples/train/tiny.toml
fi
model=$(ls -d $out/tiny/checkpoints/step-* | tail -1)
echo "the model: $model"
[ -t 0 ] && exec "$fathom" chat --model "$model"
