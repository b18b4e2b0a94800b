// Goal: the rules that hold for every command (exit codes, help, messages) as a person meets them.
// Method: runs the program; the commands are the ones that `fathom help` lists.
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <sstream>

#include "tests/support/subprocess.h"
#include "tests/support/temp_dir.h"

namespace fathom::test {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The indented lines of `fathom help`.
std::vector<std::string> commands() {
  std::vector<std::string> names;
  const std::regex entry("^  ([a-z]+) .*");
  for (const std::string& line : lines_of(run_fathom({"help"}).out)) {
    std::smatch match;
    if (std::regex_match(line, match, entry)) names.push_back(match[1]);
  }
  return names;
}

TEST(Cli, AloneAndHelpListTheCommandsOnOneScreen) {
  const RunResult alone = run_fathom({});
  EXPECT_EQ(alone.exit_code, 0);
  EXPECT_EQ(alone.err, "");
  for (const char* argument : {"help", "--help", "-h"})
    EXPECT_EQ(run_fathom({argument}).out, alone.out) << argument;
  const auto lines = lines_of(alone.out);
  EXPECT_LE(lines.size(), 40u);
  for (const std::string& line : lines) EXPECT_LE(line.size(), 100u) << line;
}

TEST(Cli, VersionNamesCommitCompilerAndInstructionSets) {
  const RunResult result = run_fathom({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(
      std::regex_search(result.out, std::regex("^fathom \\d+\\.\\d+\\.\\d+\ncommit \\S+\ncompiler "
                                               "\\S+ \\S+.*\ninstruction sets ref.*\n")))
      << result.out;
}

TEST(Cli, EveryCommandHasHelpWithDefaultsAndAnExample) {
  for (const std::string& command : commands()) {
    SCOPED_TRACE(command);
    const RunResult result = run_fathom({command, "--help"});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.err, "");
    EXPECT_NE(result.out.find("\nExample:\n  "), std::string::npos);
    EXPECT_EQ(run_fathom({"help", command}).out, result.out);
    // An option that takes a value says what happens without it. Entries may go over several lines.
    const std::string text = result.out.substr(0, result.out.find("\nExample:"));
    const std::regex start("\n  (-\\S.*)");
    for (std::sregex_iterator it(text.begin(), text.end(), start), end; it != end; ++it) {
      const size_t begin = static_cast<size_t>(it->position()) + 1;
      size_t stop = text.find("\n  ", begin);
      while (stop != std::string::npos && text.compare(stop, 6, "\n     ") == 0)
        stop = text.find("\n  ", stop + 1);
      const std::string entry = text.substr(begin, stop == std::string::npos ? stop : stop - begin);
      if (!std::regex_search(entry, std::regex("^  (-\\w, )?--[a-z0-9-]+ [A-Za-z]")))
        continue;  // a flag
      EXPECT_TRUE(entry.find("[default: ") != std::string::npos ||
                  entry.find("[required]") != std::string::npos)
          << entry;
    }
  }
}

TEST(Cli, UnknownCommandsAndOptionsNameTheNearestAndExitWith2) {
  for (const std::string& command : commands()) {
    const RunResult wrong = run_fathom({command + "x"});
    EXPECT_EQ(wrong.exit_code, 2);
    EXPECT_EQ(wrong.out, "");
    EXPECT_NE(wrong.err.find("'" + command + "'"), std::string::npos) << wrong.err;
    EXPECT_EQ(std::count(wrong.err.begin(), wrong.err.end(), '\n'), 1) << wrong.err;

    const RunResult option = run_fathom({command, "--quite"});
    EXPECT_EQ(option.exit_code, 2) << command;
    EXPECT_NE(option.err.find("'--quiet'"), std::string::npos) << option.err;
    EXPECT_EQ(std::count(option.err.begin(), option.err.end(), '\n'), 1) << option.err;
  }
  EXPECT_EQ(run_fathom({"--versoin"}).exit_code, 2);
  EXPECT_EQ(run_fathom({""}).exit_code, 2);
  EXPECT_EQ(run_fathom({"help", "nothing-of-this-name"}).exit_code, 2);
}

// The options that a command's help names, "--threads" and the like.
std::vector<std::string> options_of(const std::string& command) {
  std::vector<std::string> names;
  const std::string help = run_fathom({command, "--help"}).out;
  const std::regex entry("\n  (-\\w, )?(--[a-z0-9-]+)");
  for (std::sregex_iterator it(help.begin(), help.end(), entry), end; it != end; ++it)
    names.push_back((*it)[2]);
  return names;
}

// The man page holds every command and option; "\\-" is its hyphen.
TEST(Cli, TheManPageHoldsEveryCommandAndOption) {
  const RunResult man = run_fathom({"man"});
  EXPECT_EQ(man.exit_code, 0);
  EXPECT_EQ(man.out.find(".TH FATHOM 1"), 0u);
  for (const std::string& command : commands()) {
    const size_t begin = man.out.find("\n.SS " + command + "\n");
    ASSERT_NE(begin, std::string::npos) << command;
    const std::string section = man.out.substr(begin, man.out.find("\n.S", begin + 1) - begin);
    for (const std::string& option : options_of(command)) {
      const std::string escaped = std::regex_replace(option, std::regex("-"), "\\-");
      EXPECT_NE(section.find(escaped), std::string::npos) << command << " " << option;
    }
  }
}

TEST(Cli, CompletionKnowsEveryCommandOptionAndChoice) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const RunResult script = run_fathom({"completion", shell});
    EXPECT_EQ(script.exit_code, 0);
    for (const std::string& command : commands()) {
      EXPECT_NE(script.out.find(command), std::string::npos) << shell << " " << command;
      for (const std::string& option : options_of(command)) {
        const std::string name = std::string(shell) == "fish" ? "-l " + option.substr(2) : option;
        EXPECT_NE(script.out.find(name), std::string::npos)
            << shell << " " << command << " " << option;
      }
    }
  }
  EXPECT_EQ(run_fathom({"completion", "tcsh"}).exit_code, 2);
  // What bash offers, asked of bash itself.
  const std::string fathom = FATHOM_BINARY;
  const auto offered = [&](const std::string& words, const std::string& position) {
    return run({"bash", "-c",
                "source <('" + fathom + "' completion bash); COMP_WORDS=(" + words +
                    "); COMP_CWORD=" + position + "; _fathom; echo \"${COMPREPLY[*]}\""})
        .out;
  };
  EXPECT_EQ(offered("fathom hel", "1"), "help\n");
  for (const std::string& command : commands()) {
    EXPECT_EQ(offered("fathom " + command + " --log-l", "2"), "--log-level\n") << command;
    EXPECT_EQ(offered("fathom " + command + " --log-level w", "3"), "warning\n") << command;
  }
}

TEST(Cli, ErrorsHoldNoControlCharacters) {
  const RunResult result = run_fathom({"\x1b[31mred"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err.find('\x1b'), std::string::npos);
  EXPECT_NE(result.err.find("\\u001b[31mred"), std::string::npos);
}

TEST(Cli, ADiskThatIsFullIsSaidAndAClosedPipeIsNot) {
  const std::string fathom = FATHOM_BINARY;
  const RunResult full = run({"sh", "-c", "'" + fathom + "' help > /dev/full"});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_NE(full.err.find("cannot write to standard output"), std::string::npos) << full.err;
  const RunResult closed = run({"sh", "-c", "(sleep 0.3; '" + fathom + "' help) | true"});
  EXPECT_EQ(closed.err, "");
}

// Ctrl-C while a command waits for its input.
TEST(Cli, AnInterruptExitsWith130AndSaysNothing) {
  for (const char* command : {"tokenize", "score"}) {
    Terminal terminal({FATHOM_BINARY, command});
    EXPECT_FALSE(terminal.expect("fathom:", 1));  // waits, without a word
    terminal.type("\x03");
    EXPECT_EQ(terminal.wait(), 130) << command << ": " << terminal.output();
    EXPECT_EQ(terminal.output().find("fathom:"), std::string::npos) << terminal.output();
  }
}

TEST(Cli, ColourNeedsATerminal) {
  for (const std::string& command : commands()) {
    EXPECT_EQ(run_fathom({command, "--help"}).out.find('\x1b'), std::string::npos);
  }
  Terminal terminal({FATHOM_BINARY, "help"});
  EXPECT_TRUE(terminal.expect("fathom --version"));
  EXPECT_EQ(terminal.wait(), 0);
}

}  // namespace
}  // namespace fathom::test
