#!/usr/bin/env python3
"""The official Python clients of OpenAI and Anthropic against `fathom serve` with the embedded model.

  tests/clients/run            installs them beside the build and runs this
  FATHOM=build/release/fathom python3 tests/clients/clients_test.py
"""
import os
import re
import subprocess
import unittest
from typing import Literal

import anthropic
import openai
import pydantic

FATHOM = os.environ.get("FATHOM", "build/release/fathom")
STORY = [{"role": "user", "content": "Tell me a story."}]


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = subprocess.Popen([FATHOM, "serve", "--port", "0", "--api-key", "secret"], stderr=subprocess.PIPE, text=True)
        line = cls.server.stderr.readline()
        cls.base = re.search(r"http://127\.0\.0\.1:\d+", line).group(0)
        cls.openai = openai.OpenAI(base_url=cls.base + "/v1", api_key="secret")
        cls.anthropic = anthropic.Anthropic(base_url=cls.base, api_key="secret")

    @classmethod
    def tearDownClass(cls):
        cls.openai.close()
        cls.anthropic.close()
        cls.server.terminate()
        cls.server.stderr.close()
        assert cls.server.wait() == 0

    def ask(self, **more):
        return self.openai.chat.completions.create(model="fathom-default", messages=STORY, max_tokens=20, temperature=0, **more)

    def test_models(self):
        self.assertEqual([model.id for model in self.openai.models.list()], ["fathom-default"])
        self.assertEqual(self.openai.models.retrieve("fathom-default").object, "model")

    def test_chat(self):
        answer = self.ask(logprobs=True, top_logprobs=2)
        self.assertEqual(answer.choices[0].finish_reason, "length")
        self.assertEqual(answer.usage.completion_tokens, 20)
        self.assertEqual(len(answer.choices[0].logprobs.content), 20)
        self.assertEqual(len(answer.choices[0].logprobs.content[0].top_logprobs), 2)

    def test_chat_stream(self):
        whole = self.ask().choices[0].message.content
        chunks = list(self.ask(stream=True, stream_options={"include_usage": True}))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertEqual(text, whole)
        self.assertEqual(chunks[-1].usage.completion_tokens, 20)

    def test_completions(self):
        answer = self.openai.completions.create(model="fathom-default", prompt=["Once upon", "The old"], max_tokens=5, echo=True, logprobs=1)
        self.assertEqual(len(answer.choices), 2)
        self.assertTrue(answer.choices[0].text.startswith("Once upon"))
        self.assertIsNone(answer.choices[0].logprobs.token_logprobs[0])

    def test_tools(self):
        tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
        answer = self.ask(tools=[tool])
        self.assertIn(answer.choices[0].finish_reason, ("length", "stop", "tool_calls"))

    def test_forced_call(self):
        tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"enum": [7]}}, "required": ["a"]}}}
        answer = self.openai.chat.completions.create(model="fathom-default", messages=STORY, tools=[tool], tool_choice="required", parallel_tool_calls=False)
        self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
        self.assertEqual(answer.choices[0].message.tool_calls[0].function.arguments, '{"a": 7}')

    def test_response_format(self):
        class Animal(pydantic.BaseModel):
            kind: Literal["fox", "bear"]
            age: Literal[3, 4]

        answer = self.openai.chat.completions.parse(model="fathom-default", messages=STORY, response_format=Animal)
        self.assertIn(answer.choices[0].message.parsed.kind, ("fox", "bear"))

    def test_responses(self):
        answer = self.openai.responses.create(model="fathom-default", input="Tell me a story.", max_output_tokens=20, temperature=0)
        self.assertEqual(answer.output_text, self.ask().choices[0].message.content)
        self.assertEqual(answer.incomplete_details.reason, "max_output_tokens")
        self.assertEqual(self.openai.responses.retrieve(answer.id).output_text, answer.output_text)
        with self.openai.responses.stream(model="fathom-default", input="Tell me a story.", max_output_tokens=20, temperature=0) as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        self.assertEqual(text, answer.output_text)
        more = self.openai.responses.create(model="fathom-default", input="And then?", previous_response_id=answer.id, max_output_tokens=5)
        self.assertEqual(more.usage.output_tokens, 5)
        self.openai.responses.delete(answer.id)
        with self.assertRaises(openai.NotFoundError):
            self.openai.responses.retrieve(answer.id)

    def test_errors(self):
        with self.assertRaises(openai.NotFoundError):
            self.openai.chat.completions.create(model="gpt-4", messages=STORY)
        with self.assertRaises(openai.BadRequestError) as caught:
            self.ask(top_p=2)
        self.assertEqual(caught.exception.param, "top_p")
        with self.assertRaises(openai.AuthenticationError):
            openai.OpenAI(base_url=self.base + "/v1", api_key="wrong").models.list()

    def test_messages(self):
        answer = self.anthropic.messages.create(model="fathom-default", max_tokens=20, messages=STORY, extra_body={"temperature": 0})
        self.assertEqual(answer.content[0].text, self.ask().choices[0].message.content)
        self.assertEqual(answer.stop_reason, "max_tokens")
        with self.anthropic.messages.stream(model="fathom-default", max_tokens=20, messages=STORY, extra_body={"temperature": 0}) as stream:
            text = "".join(stream.text_stream)
        self.assertEqual(text, answer.content[0].text)
        counted = self.anthropic.messages.count_tokens(model="fathom-default", messages=STORY)
        self.assertGreater(counted.input_tokens, 5)
        with self.assertRaises(anthropic.BadRequestError):
            self.anthropic.messages.create(model="fathom-default", max_tokens=20, messages=[])


if __name__ == "__main__":
    unittest.main()
