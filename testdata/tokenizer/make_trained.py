#!/usr/bin/env python3
"""Makes trained.json: what Hugging Face `tokenizers` learns from the texts in it.

usage: make_trained.py TEXTS > trained.json      (TEXTS: a JSON list of texts, or trained.json itself)
"""
import json
import sys

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

PATTERNS = [
    r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
]
CONTROL = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"]
N_MERGES = 600


def main():
    given = json.load(open(sys.argv[1], encoding="utf-8"))
    texts = given["texts"] if isinstance(given, dict) else given
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(p), "isolated") for p in PATTERNS] +
        [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(vocab_size=len(CONTROL) + 256 + N_MERGES, special_tokens=CONTROL,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    json.dump({"texts": texts, "merges": [" ".join(m) for m in merges]}, sys.stdout, ensure_ascii=False, indent=0)
    print()


main()
