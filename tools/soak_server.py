#!/usr/bin/env python3
"""Many clients at once against `fathom serve`, some of them hostile, for minutes or days; every answer is compared.

  tools/soak_server.py [--fathom build/release/fathom] [--minutes 10] [--streams 64] [--seed 1] [-- SERVE-ARGUMENTS]

First each of a few dozen requests runs alone, and its bytes are kept. Then all streams draw requests at random; some go
away in the middle, some send what is too large or no request at all. It fails if an answer has other bytes than alone, if a
refusal has another status than it should, or if memory, open files or free cache blocks do not come back to where they were.
"""
import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import time

WORDS = "once upon a time the old fox went into the wood and found a house of bread with a little door".split()


def requests(rng):
    """Bodies of requests whose answers are known by their seeds."""
    out = []
    for i in range(48):
        words = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(2, 120)))
        body = {"max_tokens": rng.randrange(1, 60), "seed": i, "temperature": rng.choice([0, 0.8, 1.2]), "stream": i % 3 > 0}
        if i % 4 == 0:
            body |= {"prompt": words, "logprobs": 2 if i % 8 == 0 else None}
            out.append(("/v1/completions", body))
            continue
        body["messages"] = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": words}]
        if i % 7 == 0:
            body["response_format"] = {"type": "json_object"}
        if i % 11 == 0:
            body["n"] = 3
        out.append(("/v1/chat/completions", body))
    return out


HOSTILE = [
    (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", 413),
    (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]", 400),
    (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
    (b"\x16\x03\x01garbage\r\n\r\n", 400),
    (b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
]


def text_of(raw):
    """What must be equal: the status, and the body without ids and times."""
    head, _, body = raw.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        joined, rest = b"", body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            n = int(size or b"0", 16)
            joined, rest = joined + rest[:n], rest[n + 2 :]
        body = joined
    body = re.sub(rb'"(id|created)":("[^"]*"|\d+)', b"", body)
    # What was in the cache, or drafted, is no part of an answer.
    body = re.sub(rb'"usage":\{.*?\}\}|"usage":\{.*?_tokens":\d+\}', b"", body)
    # Choices of a stream interleave as they come.
    if b"data: " in body and b'"index":1' in body:
        body = b"\n".join(sorted(body.split(b"\n\n"), key=lambda event: re.findall(rb'"index":(\d+)', event)))
    return int(head.split()[1]) if head else 0, body


class Soak:
    def __init__(self, port, rng):
        self.port, self.rng = port, rng
        self.counts = dict.fromkeys(["answered", "left", "hostile", "wrong"], 0)

    async def send(self, data, read_bytes=None):
        """The whole answer; with read_bytes the client goes away after so many."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            await writer.drain()
            if read_bytes is not None:
                await reader.read(read_bytes) if read_bytes else None
                return b""
            out = b""
            while piece := await reader.read(1 << 16):
                out += piece
            return out
        except ConnectionError:
            return out if read_bytes is None else b""
        finally:
            writer.close()

    @staticmethod
    def bytes_of(path, body):
        text = json.dumps(body).encode()
        return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(text)}\r\n\r\n").encode() + text

    async def stream(self, expected, until):
        while time.monotonic() < until:
            kind = self.rng.random()
            if kind < 0.1:
                data, status = self.rng.choice(HOSTILE)
                answer = await self.send(data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
                self.counts["hostile"] += 1
                if text_of(answer)[0] not in (status, 0):
                    self.report("a hostile request", data[:60], answer[:200])
                continue
            (path, body), alone = self.rng.choice(expected)
            if kind < 0.3:
                await self.send(self.bytes_of(path, body), self.rng.choice([0, 1, 300, 2000]))
                self.counts["left"] += 1
                continue
            answer = text_of(await self.send(self.bytes_of(path, body)))
            self.counts["answered"] += 1
            if answer != alone:
                self.report("an answer differs", json.dumps(body), alone, answer)

    def report(self, *what):
        self.counts["wrong"] += 1
        print("WRONG:", *what, file=sys.stderr)

    async def metrics(self):
        raw = await self.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return {m[0]: float(m[1]) for m in re.findall(r"^fathom_(\w+) ([\d.e+]+)$", raw.decode(), re.M)}


def state(pid):
    with open(f"/proc/{pid}/status") as status:
        rss = int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))
    return rss, len(os.listdir(f"/proc/{pid}/fd"))


async def soak(args, port, pid):
    rng = random.Random(args.seed)
    run = Soak(port, rng)
    expected = []
    for path, body in requests(rng):
        expected.append(((path, body), text_of(await run.send(run.bytes_of(path, body)))))
        assert expected[-1][1][0] == 200, expected[-1]
    for minutes in (args.minutes * 0.2, args.minutes * 0.8):
        until = time.monotonic() + 60 * minutes
        await asyncio.gather(*(run.stream(expected, until) for _ in range(args.streams)))
        for _ in range(300):
            metrics = await run.metrics()
            if metrics["requests_running"] + metrics["requests_waiting"] == 0:
                break
            await asyncio.sleep(0.1)
        rss, files = state(pid)
        held = metrics["kv_blocks"] - metrics["kv_blocks_free"] - metrics["prefix_blocks"]
        print(f"after {minutes:.1f} min: {run.counts}, {rss} KiB, {files} files, {held:.0f} cache blocks held by nobody", flush=True)
        if minutes == args.minutes * 0.2:
            first = rss, files
        run.counts["wrong"] += held != 0
    # The first fifth warms it up; a leak would show afterwards.
    grown = rss / first[0]
    print(f"memory {grown:.3f} times that of the first fifth, {files - first[1]:+d} files")
    return run.counts["wrong"] == 0 and grown < 1.1 and files <= first[1] + 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fathom", default="build/release/fathom")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("serve", nargs="*")
    args = parser.parse_args()
    command = [args.fathom, "serve", "--port", "0", "--max-queue", "1000", *args.serve]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    port = int(re.search(r"http://127\.0\.0\.1:(\d+)", server.stderr.readline()).group(1))
    fine = asyncio.run(soak(args, port, server.pid))
    server.terminate()
    log = server.stderr.read()
    fine = server.wait() == 0 and fine
    print(log[-500:] if not fine else "fine")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
