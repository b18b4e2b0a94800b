// Server-sent events: bytes in any cut to the data of whole events.

const LINE_END = /\r\n|\n|\r/u;

export class SseParser {
  private readonly decoder = new TextDecoder(); // holds back the bytes of a character that is not whole yet
  private rest = '';
  private data: string[] = [];

  /** The data of the events that these bytes complete. */
  push(bytes: Uint8Array): string[] {
    this.rest += this.decoder.decode(bytes, { stream: true });
    const events: string[] = [];
    for (;;) {
      const end = LINE_END.exec(this.rest);
      // A carriage return at the end of what is there may be half of a line end.
      if (!end || (end[0] === '\r' && end.index === this.rest.length - 1)) return events;
      this.take(this.rest.slice(0, end.index), events);
      this.rest = this.rest.slice(end.index + end[0].length);
    }
  }

  private take(line: string, events: string[]): void {
    if (line === '') {
      if (this.data.length > 0) events.push(this.data.join('\n'));
      this.data = [];
    } else if (line.startsWith('data:')) {
      this.data.push(line.slice(line[5] === ' ' ? 6 : 5));
    } // comments and the other fields mean nothing here
  }
}

/** The data of each event of a body, until it ends. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const parser = new SseParser();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(value);
    }
  } finally {
    await reader.cancel().catch(() => undefined); // a reader that leaves early ends the request
  }
}
