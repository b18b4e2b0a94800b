#!/usr/bin/env bash
# Trains the default model as it was trained: tokens of the corpus' files, then the run of examples/train/default.toml.
#   examples/train_default.sh CORPUS
# CORPUS holds books-01.jsonl.xz to books-04, children, dialogues and qa. Everything it makes lies in runs/default;
# a run that was stopped goes on when it is started again.
set -eu
[ $# -eq 1 ] && [ -d "$1" ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
corpus=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
fathom=${FATHOM:-build/release/fathom}
out=runs/default
mkdir -p $out

for kind in dialogues qa; do
  [ -e $out/$kind.jsonl ] || { python3 tools/conversations.py $kind "$corpus/$kind.jsonl.xz" >$out/$kind.part && mv $out/$kind.part $out/$kind.jsonl; }
done
[ -e $out/stories.jsonl ] ||
  { python3 tools/conversations.py stories "$corpus/children.jsonl.xz" >$out/stories.part && mv $out/stories.part $out/stories.jsonl; }

# shards NAME FILES...
shards() {
  local name=$1
  shift
  [ -e $out/$name/index.json ] ||
    "$fathom" data "$@" --tokenizer models/default --output $out/$name --validation-fraction 0.005
}
shards books "$corpus"/books-0[1-4].jsonl.xz
shards children "$corpus/children.jsonl.xz"
shards dialogues $out/dialogues.jsonl
shards qa $out/qa.jsonl
shards stories $out/stories.jsonl

if [ -n "$(ls $out/run/checkpoints 2>/dev/null)" ]; then
  exec "$fathom" train --resume $out/run
fi
exec "$fathom" train examples/train/default.toml
