#!/usr/bin/env python3
"""lm-eval against `fathom serve`: log-likelihoods over completions, answers over chat. No data set is fetched: the tasks are here.

  tests/clients/run            installs it beside the build and runs this too
"""
import json
import math
import os
import re
import subprocess
import tempfile
import unittest
import urllib.request

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

FATHOM = os.environ.get("FATHOM", "build/release/fathom")

CHOICES = [
    {"text": "Once upon a time there was a little", "choices": [" girl", " qxz", " 7"], "answer": 0},
    {"text": "The old king had three", "choices": [" daughters", " the", " zzz"], "answer": 0},
    {"text": "The wolf ran into the", "choices": [" forest", " of of", " ,,"], "answer": 0},
]
TASKS = {
    "fathom_choices": {
        "output_type": "multiple_choice", "doc_to_text": "{{text}}", "doc_to_choice": "{{choices}}", "doc_to_target": "{{answer}}",
        "target_delimiter": "", "metric_list": [{"metric": "acc"}]},
    "fathom_answers": {
        "output_type": "generate_until", "doc_to_text": "{{text}}", "doc_to_target": "x",
        "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 12, "temperature": 0.0}, "metric_list": [{"metric": "exact_match"}]},
    "fathom_rolling": {
        "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "bits_per_byte"}]},
}


class LmEval(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = subprocess.Popen([FATHOM, "serve", "--port", "0"], stderr=subprocess.PIPE, text=True)
        cls.base = re.search(r"http://127\.0\.0\.1:\d+", cls.server.stderr.readline()).group(0)
        cls.folder = tempfile.TemporaryDirectory()
        data = os.path.join(cls.folder.name, "texts.jsonl")
        with open(data, "w") as out:
            out.writelines(json.dumps(line) + "\n" for line in CHOICES)
        for name, task in TASKS.items():
            whole = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": data}}, "test_split": "test", **task}
            with open(os.path.join(cls.folder.name, name + ".yaml"), "w") as out:
                json.dump(whole, out)  # JSON is YAML
        cls.tasks = TaskManager(include_path=cls.folder.name, include_defaults=False)

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        cls.server.stderr.close()
        assert cls.server.wait() == 0
        cls.folder.cleanup()

    def run_task(self, task, model, path, **more):
        arguments = {"model": "fathom-default", "base_url": self.base + path, "max_length": 256, **more}
        made = simple_evaluate(model=model, model_args=arguments, tasks=[task], task_manager=self.tasks, log_samples=True,
                               apply_chat_template=model == "local-chat-completions", bootstrap_iters=0)
        return made["samples"][task], made["results"][task]

    def ids(self, text):
        """As lm-eval asks for them: without BOS."""
        body = json.dumps({"prompt": text, "add_special_tokens": False}).encode()
        request = urllib.request.Request(self.base + "/tokenize", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["tokens"]

    def logprobs(self, text):
        """Of a text's tokens, from the program itself."""
        line = json.dumps({"ids": self.ids(text)}) + "\n"
        made = subprocess.run([FATHOM, "score", "-"], input=line, capture_output=True, text=True, check=True)
        return json.loads(made.stdout)["logprobs"]

    def test_log_likelihoods(self):
        samples, results = self.run_task("fathom_choices", "local-completions", "/v1/completions")
        self.assertEqual(len(samples), len(CHOICES))
        self.assertGreaterEqual(results["acc,none"], 0.66)
        for sample in samples:
            for choice, (value, _) in zip(sample["doc"]["choices"], sample["filtered_resps"]):
                n_context = len(self.ids(sample["doc"]["text"]))
                alone = self.logprobs(sample["doc"]["text"] + choice)[n_context:]
                self.assertTrue(math.isclose(float(value), sum(alone), abs_tol=1e-4), (choice, value, alone))

    def test_rolling(self):
        samples, _ = self.run_task("fathom_rolling", "local-completions", "/v1/completions")
        self.assertTrue(all(sample["bits_per_byte"][0] < 0 for sample in samples))

    def test_answers(self):
        for model, path in (("local-completions", "/v1/completions"), ("local-chat-completions", "/v1/chat/completions")):
            samples, _ = self.run_task("fathom_answers", model, path)
            self.assertTrue(all(sample["filtered_resps"][0] for sample in samples), (model, samples))


if __name__ == "__main__":
    unittest.main()
