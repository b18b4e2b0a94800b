// Goal: tools/conversations.py makes what `fathom data` and the templates take, and no text that is
// held out. Method: small records of each kind.
#include <gtest/gtest.h>

#include "tests/support/subprocess.h"
#include "tests/support/temp_dir.h"

namespace fathom::test {
namespace {

const std::string kTool = std::string(FATHOM_TESTDATA) + "/../tools/conversations.py";

constexpr const char* kDialogue =
    R"({"id": "d1", "licence": "L", "turns": [{"role": "user", "text": "A table, please."},)"
    R"( {"role": "user", "text": "For two."}, {"role": "assistant", "text": "Done.", "calls":)"
    R"( [{"service": "S_1", "method": "Book", "parameters": {"seats": "2"}, "results":)"
    R"( [{"at": "8"}]}]}, {"role": "user", "text": "Bye"}]})"
    "\n";
constexpr const char* kQuestions =
    R"({"id": "q1", "context": "Ann saw a fox.", "question": "who saw a fox",)"
    R"( "answer": "ann", "split": "train"})"
    "\n"
    R"({"id": "q2", "context": "Held out.", "question": "what?", "answer": "it",)"
    R"( "split": "validation"})"
    "\n";

RunResult conversations(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {"python3", kTool};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run(all);
}

TEST(Conversations, OfTwoSpeakers) {
  const TempDir dir;
  const std::string file = dir.write("d.jsonl", kDialogue);
  const RunResult said = conversations({"dialogues", file});
  EXPECT_EQ(said.exit_code, 0) << said.err;
  EXPECT_EQ(said.out,
            R"({"id": "d1", "licence": "L", "messages": [{"role": "user", "content":)"
            R"( "A table, please. For two."}, {"role": "assistant", "content": "Done."}]})"
            "\n");
  const RunResult called = conversations({"--calls", "dialogues", file});
  EXPECT_EQ(called.out,
            R"({"id": "d1", "licence": "L", "messages": [{"role": "user", "content":)"
            R"( "A table, please. For two."}, {"role": "assistant", "content": null,)"
            R"( "tool_calls": [{"type": "function", "function": {"name": "Book",)"
            R"( "arguments": "{\"seats\": \"2\"}"}}]}, {"role": "tool", "content":)"
            R"( "[{\"at\": \"8\"}]"}, {"role": "assistant", "content": "Done."}],)"
            R"( "tools": [{"type": "function", "function": {"name": "Book", "parameters":)"
            R"( {"type": "object", "properties": {"seats": {"type": "string"}}}}}]})"
            "\n");
  const std::string made = dir.write("made.jsonl", said.out + called.out);
  const RunResult data =
      run_fathom({"data", made, "--tokenizer", std::string(FATHOM_TESTDATA) + "/../models/default",
                  "--output", dir.file("shards")});
  EXPECT_EQ(data.exit_code, 0) << data.err;
  EXPECT_NE(data.out.find(": 2 documents"), std::string::npos) << data.out;
}

TEST(Conversations, QuestionsAboutHeldOutTextsAreLeftOut) {
  const TempDir dir;
  const std::string file = dir.write("q.jsonl", kQuestions);
  const RunResult train = conversations({"qa", file});
  EXPECT_EQ(train.exit_code, 0) << train.err;
  EXPECT_NE(train.out.find("Ann saw a fox."), std::string::npos) << train.out;
  EXPECT_NE(train.out.find("\"content\": \"Ann.\""), std::string::npos) << train.out;
  EXPECT_EQ(train.out.find("Held out."), std::string::npos) << train.out;
  const RunResult held_out = conversations({"qa", file, "--split", "validation"});
  EXPECT_NE(held_out.out.find("Held out."), std::string::npos) << held_out.out;
  EXPECT_EQ(held_out.out.find("Ann"), std::string::npos) << held_out.out;
}

TEST(Conversations, ABadLineIsNamed) {
  const TempDir dir;
  const RunResult bad =
      conversations({"qa", dir.write("q.jsonl", kQuestions + std::string("{\"id\": \"q3\"}\n"))});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_NE(bad.err.find("q.jsonl, line 3"), std::string::npos) << bad.err;
  const RunResult broken = conversations({"qa", dir.write("b.jsonl", "{\n")});
  EXPECT_EQ(broken.exit_code, 1);
  EXPECT_NE(broken.err.find("b.jsonl, line 1"), std::string::npos) << broken.err;
}

}  // namespace
}  // namespace fathom::test
