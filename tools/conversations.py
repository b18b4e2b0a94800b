#!/usr/bin/env python3
"""Makes conversations ("messages", one JSON object a line) of the corpus files that have none.

  tools/conversations.py dialogues FILE   turns of two speakers -> user and assistant
  tools/conversations.py qa FILE          context, question, answer -> a question about a text, and a sentence
  tools/conversations.py stories FILE     title, text -> "Tell me a story", and the story's beginning

FILE is JSON Lines, plain or .xz. Output on standard output. Lines keep "id" and "licence". What is
drawn at random follows from the line's id, so that the same file gives the same conversations.
"""
import json
import lzma
import sys
import zlib

STORY_BYTES = 1400  # what an answer holds of a story: whole paragraphs up to this
ASK = ["Tell me a story.", "Please tell me a story.", "Can you tell me a story?", "I would like to hear a story."]
ASK_TITLED = ["Tell me the story of {}.", "Please tell me a story about {}.", "Do you know the story of {}?",
              "I would like to hear about {}."]


def lines(path):
    opened = lzma.open(path, "rt", encoding="utf-8") if path.endswith(".xz") else open(path, encoding="utf-8")
    with opened as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, json.loads(line)


def drawn(record, n):
    """A number below n that follows from the record's id."""
    return zlib.crc32(record["id"].encode()) % n


def sentence(text):
    text = " ".join(text.split())
    if not text:
        return text
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?\"'" else text + "."


def dialogue(record):
    messages = []
    for turn in record["turns"]:
        if messages and messages[-1]["role"] == turn["role"]:
            messages[-1]["content"] += " " + turn["text"]
        else:
            messages.append({"role": turn["role"], "content": turn["text"]})
    while messages and messages[0]["role"] != "user":
        messages.pop(0)
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    return messages


def question(record):
    asked = sentence(record["question"])
    if asked[-1] == ".":
        asked = asked[:-1] + "?"
    context = " ".join(record["context"].split())
    ask = asked + "\n\n" + context if drawn(record, 2) else context + "\n\n" + asked
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": sentence(record["answer"])}]


def story(record):
    told = ""
    for paragraph in record["text"].split("\n\n"):
        if told and len(told) + len(paragraph) > STORY_BYTES:
            break
        told += ("\n\n" if told else "") + paragraph
    if len(told) < 200 or len(told) > 2 * STORY_BYTES:
        return []
    title = record.get("title") or ""
    if title and drawn(record, 3):
        ask = ASK_TITLED[drawn(record, len(ASK_TITLED))].format(title)
    else:
        ask = ASK[drawn(record, len(ASK))]
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": told}]


KINDS = {"dialogues": dialogue, "qa": question, "stories": story}


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in KINDS:
        sys.exit(__doc__)
    for number, record in lines(sys.argv[2]):
        try:
            messages = KINDS[sys.argv[1]](record)
        except (KeyError, TypeError, AttributeError) as error:
            sys.exit(f"{sys.argv[2]}, line {number}: no record of {sys.argv[1]}: {error!r}")
        if messages:
            out = {"id": record.get("id"), "licence": record.get("licence"), "messages": messages}
            print(json.dumps(out, ensure_ascii=False))


if __name__ == "__main__":
    main()
