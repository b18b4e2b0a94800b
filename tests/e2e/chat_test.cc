// Goal: `fathom chat` as a person meets it. Method: the program on a pseudo-terminal, and with
// pipes.
#include <gtest/gtest.h>

#include "io/json.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_dir.h"

namespace fathom::test {
namespace {

TEST(Chat, APipeGetsTheAnswersAlone) {
  const RunResult result = run_fathom({"chat", "--temperature", "0", "--max-tokens", "8"},
                                      {.input = "hello\nwho are you?\n"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_GE(std::count(result.out.begin(), result.out.end(), '\n'), 2);
  EXPECT_EQ(result.out.find("> "), std::string::npos);
  EXPECT_EQ(run_fathom({"chat", "--temperature", "0", "--max-tokens", "8"},
                       {.input = "hello\nwho are you?\n"})
                .out,
            result.out);
}

TEST(Chat, CommandsDoWhatTheySay) {
  TempDir folder;
  Terminal chat({FATHOM_BINARY, "chat", "--seed", "1", "--max-tokens", "8"},
                {.input = "",
                 .environment = {{"XDG_STATE_HOME", folder.path()}, {"TERM", "xterm"}},
                 .directory = folder.path()});
  ASSERT_TRUE(chat.expect("> ")) << chat.output();
  chat.type("/help\n");
  EXPECT_TRUE(chat.expect("/retry")) << chat.output();
  ASSERT_TRUE(chat.expect("> "));
  chat.type("hello there\n");
  EXPECT_TRUE(chat.expect("context ")) << chat.output();
  ASSERT_TRUE(chat.expect("> "));
  chat.type("/retry\n");
  EXPECT_TRUE(chat.expect("context ")) << chat.output();
  ASSERT_TRUE(chat.expect("> "));
  chat.type("/save talk.json\n");
  EXPECT_TRUE(chat.expect("saved 2 messages")) << chat.output();
  ASSERT_TRUE(chat.expect("> "));
  chat.type("/system Be brief.\n");
  EXPECT_TRUE(chat.expect("system prompt set"));
  ASSERT_TRUE(chat.expect("> "));
  chat.type("/load talk.json\n");
  EXPECT_TRUE(chat.expect("loaded 2 messages")) << chat.output();
  ASSERT_TRUE(chat.expect("> "));
  chat.type("/nonsense\n");
  EXPECT_TRUE(chat.expect("there is no command /nonsense"));
  ASSERT_TRUE(chat.expect("> "));
  chat.type("first \\\nsecond\n");
  EXPECT_TRUE(chat.expect("context ")) << chat.output();
  ASSERT_TRUE(chat.expect("> "));
  chat.type("/exit\n");
  EXPECT_EQ(chat.wait(), 0);
  const Json saved = parse_json(read_file(folder.file("talk.json"))).value();
  EXPECT_EQ(saved.find("messages")->as_array()[0].find("content")->as_string(), "hello there");
}

TEST(Chat, CtrlCStopsTheAnswerAndNotTheProgram) {
  TempDir folder;
  // The slowest way to compute, so that the answer lasts until the key is pressed.
  Terminal chat({FATHOM_BINARY, "chat", "--ignore-eos", "--temperature", "0", "--isa", "ref",
                 "--attention", "naive", "--threads", "1"},
                {.input = "",
                 .environment = {{"XDG_STATE_HOME", folder.path()}, {"TERM", "xterm"}},
                 .directory = ""});
  ASSERT_TRUE(chat.expect("> ")) << chat.output();
  chat.type("tell me a long story\n");
  ASSERT_TRUE(chat.expect("he ")) << chat.output();
  chat.type("\x03");
  EXPECT_TRUE(chat.expect("(stopped)")) << chat.output();
  EXPECT_TRUE(chat.expect("context ")) << chat.output();
  ASSERT_TRUE(chat.expect("> "));
  chat.type("\x03");
  EXPECT_TRUE(chat.expect("leaves")) << chat.output();
  ASSERT_TRUE(chat.expect("> "));
  // The prompt is shown a moment before keys come one by one: a Ctrl-D in between is a person's to
  // repeat.
  int code = -1;
  for (int i = 0; i < 20 && code == -1; ++i) {
    chat.type("\x15\x04");
    code = chat.wait(1);
  }
  EXPECT_EQ(code, 0) << chat.output();
}

TEST(Chat, AFullContextDropsTheOldestTurnsAndSaysSo) {
  std::string input;
  for (int i = 0; i < 8; ++i)
    input += "this is question number " + std::to_string(i) + " of several that fill the context\n";
  const RunResult result = run_fathom(
      {"chat", "--context", "96", "--max-tokens", "12", "--seed", "1", "--system", "be kind"},
      {.input = input});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("oldest messages were dropped"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace fathom::test
