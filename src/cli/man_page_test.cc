// Goal: text of options cannot break the man page or a shell's script. Method: a command whose
// words try to. That every command and option is there: tests/e2e/cli_test.cc.
#include "cli/man_page.h"

#include <gtest/gtest.h>

namespace fathom::cli {
namespace {

void add_hostile(CLI::App& app, Invocation& invocation) {
  static std::string value;
  app.add_option("--mode", value, ".so it isn't a request \\fB; $(touch x) [a:b]")
      ->type_name("a|b")
      ->default_str("a");
  invocation.run = [] { return Status(); };
}
const Command kHostile[] = {{"hostile", "Running", "'quoted' summary", add_hostile}};

TEST(ManPage, EscapesRequestsHyphensAndBackslashes) {
  const std::string page = man_page(kHostile, "1.2.3");
  EXPECT_NE(page.find("\n.B \\-\\-mode a|b\n\\&.so it isn't a request \\efB"), std::string::npos)
      << page;
  EXPECT_NE(page.find("\n\\&'quoted' summary"), std::string::npos) << page;
}

TEST(Completion, QuotesForEachShell) {
  EXPECT_NE(completion_script(kHostile, "bash").value().find("'hostile --mode') words='a b'"),
            std::string::npos);
  EXPECT_NE(completion_script(kHostile, "zsh")
                .value()
                .find("isn'\\''t a request \\\\fB; $(touch x) \\[a\\:b\\]"),
            std::string::npos);
  EXPECT_NE(completion_script(kHostile, "fish").value().find("-x -a 'a b' -d '.so it isn'\\''t"),
            std::string::npos);
  EXPECT_EQ(completion_script(kHostile, "csh").error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace fathom::cli
