#!/usr/bin/env python3
"""Makes examples/corpus of the full corpus: tools/sample_corpus.py CORPUS OUT

CORPUS holds children.jsonl.xz, qa.jsonl.xz and dialogues.jsonl.xz (fields as the corpus' README says). Takes the
modern picture books and FairytaleQA's stories whole, until 1.9 MB of text, and of questions and dialogues as
conversations 0.4 MB each, in the order of a hash of their ids, so that the same corpus gives the same sample.
"""
import importlib.util
import json
import lzma
import pathlib
import sys
import zlib

here = pathlib.Path(__file__).parent
spec = importlib.util.spec_from_file_location("conversations", here / "conversations.py")
conversations = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conversations)

STORY_BYTES, TALK_BYTES = 1_900_000, 400_000


def records(path):
    with lzma.open(path, "rt", encoding="utf-8") as file:
        found = [json.loads(line) for line in file]
    return sorted(found, key=lambda record: (zlib.crc32(record["id"].encode()), record["id"]))


def write(path, lines):
    data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    path.write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    print(f"{path}: {len(lines)} lines, {len(data)} bytes, {path.stat().st_size} packed")


def stories(corpus):
    simple = [r for r in records(corpus / "children.jsonl.xz") if r["source"] in ("Global ASP", "FairytaleQA")]
    out, size = [], 0
    # The simplest first: picture books are short.
    for record in sorted(simple, key=lambda r: (r["source"] == "FairytaleQA", zlib.crc32(r["id"].encode()))):
        if size + len(record["text"]) > STORY_BYTES:
            continue
        size += len(record["text"])
        out.append({k: record.get(k) for k in ("id", "title", "author", "source", "licence", "text")})
    return out


def talks(corpus, name):
    out, size = [], 0
    for record in records(corpus / f"{name}.jsonl.xz"):
        if record.get("split", "train") != "train":  # held-out stories stand in their questions
            continue
        messages = conversations.KINDS[name](record)
        length = sum(len(m["content"]) for m in messages)
        if not messages or length > 1200:
            continue
        if size + length > TALK_BYTES:
            break
        size += length
        out.append({"id": record["id"], "licence": record["licence"], "messages": messages})
    return out


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    corpus, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    write(out / "stories.jsonl.xz", stories(corpus))
    write(out / "talks.jsonl.xz", talks(corpus, "qa") + talks(corpus, "dialogues"))


if __name__ == "__main__":
    main()
