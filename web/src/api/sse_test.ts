// Goal: events come out the same however the bytes were cut. Method: every cut of a stream with all
// that the format allows, against the whole.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEvents, SseParser } from './sse';

const STREAM =
  ': a comment\n\ndata: {"a":"größer 🦊"}\r\n\r\nevent: message\ndata:two\ndata: lines\n\nid: 7\rdata: cr\r\rdata: [DONE]\n\n';
const EVENTS = ['{"a":"größer 🦊"}', 'two\nlines', 'cr', '[DONE]'];
const bytes = new TextEncoder().encode(STREAM);

test('a stream in one piece', () => {
  assert.deepEqual(new SseParser().push(bytes), EVENTS);
});

test('cut anywhere, inside characters and line ends too', () => {
  for (let cut = 0; cut <= bytes.length; ++cut) {
    const parser = new SseParser();
    const events = [...parser.push(bytes.subarray(0, cut)), ...parser.push(bytes.subarray(cut))];
    assert.deepEqual(events, EVENTS, `cut at ${cut}`);
  }
});

test('byte by byte', () => {
  const parser = new SseParser();
  const events = Array.from(bytes, (byte) => parser.push(Uint8Array.of(byte))).flat();
  assert.deepEqual(events, EVENTS);
});

test('an event without its end is not given', () => {
  assert.deepEqual(new SseParser().push(new TextEncoder().encode('data: half')), []);
});

test('a reader that leaves early ends the body', async () => {
  let isCancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(bytes),
    cancel: () => {
      isCancelled = true;
    },
  });
  for await (const event of readEvents(body)) {
    assert.equal(event, EVENTS[0]);
    break;
  }
  assert.ok(isCancelled);
});
