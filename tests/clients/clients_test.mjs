// The official Node clients of OpenAI and Anthropic against `fathom serve` with the embedded model.
//   tests/clients/run            installs them beside the build and runs this too
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";

// The clients lie where tests/clients/run has put them, not beside this file.
const require = createRequire(process.env.CLIENTS + "/");
const { default: OpenAI } = require("openai");
const { default: Anthropic } = require("@anthropic-ai/sdk");

const messages = [{ role: "user", content: "Tell me a story." }];
const model = "fathom-default";
let server, openai, anthropic;

before(async () => {
  server = spawn(process.env.FATHOM ?? "build/release/fathom", ["serve", "--port", "0", "--api-key", "secret"], { stdio: ["ignore", "ignore", "pipe"] });
  for await (const line of createInterface({ input: server.stderr })) {
    const base = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
    if (!base) continue;
    openai = new OpenAI({ baseURL: base + "/v1", apiKey: "secret", maxRetries: 0 });
    anthropic = new Anthropic({ baseURL: base, apiKey: "secret", maxRetries: 0 });
    break;
  }
});

after(async () => {
  server.kill("SIGTERM");
  const code = await new Promise((done) => server.on("exit", done));
  assert.equal(code, 0);
});

const ask = (more = {}) => openai.chat.completions.create({ model, messages, max_tokens: 20, temperature: 0, ...more });

test("models", async () => {
  const ids = [];
  for await (const one of openai.models.list()) ids.push(one.id);
  assert.deepEqual(ids, [model]);
});

test("chat, whole and as a stream", async () => {
  const whole = await ask({ logprobs: true, top_logprobs: 2 });
  assert.equal(whole.choices[0].finish_reason, "length");
  assert.equal(whole.choices[0].logprobs.content.length, 20);
  let text = "", usage;
  for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(usage.completion_tokens, 20);
});

test("a stream that is left ends its work", async () => {
  const stream = await ask({ stream: true, max_tokens: 400 });
  for await (const chunk of stream) {
    assert.equal(chunk.object, "chat.completion.chunk");
    break;
  }
  stream.controller.abort();
  assert.equal((await ask({ max_tokens: 2 })).usage.completion_tokens, 2);
});

test("tools run by the client's own helper", async () => {
  const seen = [];
  const runner = openai.chat.completions.runTools({
    model, messages, max_tokens: 80, temperature: 0, parallel_tool_calls: false,
    tool_choice: { type: "function", function: { name: "add" } },
    tools: [{ type: "function", function: {
      name: "add", parse: JSON.parse, function: ({ a }) => { seen.push(a); return String(a + 1); },
      parameters: { type: "object", properties: { a: { enum: [7] } }, required: ["a"] } } }],
  }, { maxChatCompletions: 1 });
  await runner.done();
  assert.deepEqual(seen, [7]);
});

test("responses, whole, streamed, gone on with", async () => {
  const request = { model, input: "Tell me a story.", max_output_tokens: 20, temperature: 0 };
  const whole = await openai.responses.create(request);
  assert.equal(whole.output_text, (await ask()).choices[0].message.content);
  let text = "";
  for await (const event of openai.responses.stream(request)) if (event.type === "response.output_text.delta") text += event.delta;
  assert.equal(text, whole.output_text);
  const more = await openai.responses.create({ model, input: "And then?", previous_response_id: whole.id, max_output_tokens: 5 });
  assert.equal(more.usage.output_tokens, 5);
  assert.equal((await openai.responses.retrieve(whole.id)).output_text, whole.output_text);
});

test("errors have their classes", async () => {
  await assert.rejects(openai.chat.completions.create({ model: "gpt-4", messages }), OpenAI.NotFoundError);
  await assert.rejects(ask({ top_p: 2 }), (error) => error instanceof OpenAI.BadRequestError && error.param === "top_p");
  await assert.rejects(anthropic.messages.create({ model, max_tokens: 5, messages: [] }), Anthropic.BadRequestError);
});

test("messages, whole and as a stream", async () => {
  const request = { model, max_tokens: 20, temperature: 0, messages };
  const whole = await anthropic.messages.create(request);
  assert.equal(whole.content[0].text, (await ask()).choices[0].message.content);
  assert.equal(await anthropic.messages.stream(request).finalText(), whole.content[0].text);
  assert.ok((await anthropic.messages.countTokens({ model, messages })).input_tokens > 5);
});
