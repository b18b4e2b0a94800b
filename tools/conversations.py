#!/usr/bin/env python3
"""Makes conversations ("messages", one JSON object a line) of the corpus files that have none.

  tools/conversations.py dialogues FILE   "turns" of two speakers -> user and assistant
  tools/conversations.py qa FILE          "context", "question", "answer" -> a question about a text, a sentence
  tools/conversations.py stories FILE     "title", "text" -> "Tell me a story", and the story's beginning

FILE is JSON Lines, plain or .xz; - is standard input. Output on standard output. Lines keep "id" and
"licence". What is drawn at random follows from the line's id: the same file gives the same conversations.

  --calls         of dialogues: what the assistant asked of services ("calls") becomes calls of tools with their
                  results, and "tools" lists the functions; without it only what was said is kept
  --split NAME    of records with a "split": those of this one (default train). Records of the split "validation" are
                  about texts that are held out: who trains on them knows the text that he measures.
"""
import argparse
import json
import lzma
import sys
import zlib

STORY_BYTES = 1400  # what an answer holds of a story: whole paragraphs up to this
ASK = ["Tell me a story.", "Please tell me a story.", "Can you tell me a story?", "I would like to hear a story."]
ASK_TITLED = ["Tell me the story of {}.", "Please tell me a story about {}.", "Do you know the story of {}?",
              "I would like to hear about {}."]


def lines(path):
    """(line number, record) of a file of JSON Lines."""
    if path == "-":
        opened = sys.stdin
    else:
        opened = lzma.open(path, "rt", encoding="utf-8") if path.endswith(".xz") else open(path, encoding="utf-8")
    with opened as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    record = json.loads(line)
                except json.JSONDecodeError as error:
                    sys.exit(f"{path}, line {number}: {error}")
                yield number, record


def drawn(record, n):
    """A number below n that follows from the record's id."""
    return zlib.crc32(record["id"].encode()) % n


def sentence(text):
    text = " ".join(text.split())
    if not text:
        return text
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?\"'" else text + "."


def compact(value):
    return json.dumps(value, ensure_ascii=False)


def call_messages(calls):
    """One message that calls, and one with each result."""
    functions = [{"name": call["method"], "arguments": compact(call["parameters"])} for call in calls]
    messages = [{"role": "assistant", "content": None,
                 "tool_calls": [{"type": "function", "function": function} for function in functions]}]
    return messages + [{"role": "tool", "content": compact(call.get("results", []))} for call in calls]


def tools_of(record):
    """The functions that the dialogue calls, with the parameters that it gives them."""
    parameters = {}
    for turn in record["turns"]:
        for call in turn.get("calls", []):
            parameters.setdefault(call["method"], {}).update({name: {"type": "string"} for name in call["parameters"]})
    return [{"type": "function",
             "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}
            for name, properties in parameters.items()]


def dialogue(record, with_calls=False):
    messages = []
    for turn in record["turns"]:
        calls = turn.get("calls", []) if with_calls else []
        if calls:
            messages += call_messages(calls)
        if messages and not calls and messages[-1]["role"] == turn["role"]:
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


def conversation(kind, record, with_calls=False):
    """The line of a record, or None if it gives no conversation."""
    messages = dialogue(record, with_calls) if kind == "dialogues" else KINDS[kind](record)
    if not messages:
        return None
    out = {"id": record["id"], "licence": record.get("licence"), "messages": messages}
    if with_calls and kind == "dialogues" and tools_of(record):
        out["tools"] = tools_of(record)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("file")
    parser.add_argument("--calls", action="store_true")
    parser.add_argument("--split", default="train")
    options = parser.parse_args()
    for number, record in lines(options.file):
        try:
            if record.get("split", options.split) != options.split:
                continue
            out = conversation(options.kind, record, options.calls)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            sys.exit(f"{options.file}, line {number}: no record of {options.kind}: {error!r}")
        if out:
            print(compact(out))


if __name__ == "__main__":
    main()
