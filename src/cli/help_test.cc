// Goal: help is made of the declarations and leaves none out. Method: a small command with every
// kind of option.
#include "cli/help.h"

#include <gtest/gtest.h>

#include "cli/options.h"

namespace fathom::cli {
namespace {

void add_sample(CLI::App& app, Invocation& invocation) {
  struct Options {
    CommonOptions common;
    double temperature = 0.6;
    std::string name;
    std::vector<std::string> files;
    bool greedy = false;
  };
  auto options = std::make_shared<Options>();
  add_common_options(app, options->common, kThreadsOption);
  app.add_option("FILES", options->files, "Texts to read")->default_str("standard input");
  app.add_option("--temperature", options->temperature,
                 "Spread of the choice among the next tokens, a long text that has to be wrapped")
      ->type_name("T")
      ->check(number_range(0, 2))
      ->group("Sampling");
  app.add_option("--name", options->name, "A name")
      ->type_name("NAME")
      ->required()
      ->group("Sampling");
  app.add_flag("-g,--greedy", options->greedy, "Take the likeliest token")->group("Sampling");
  set_example(app, "fathom sample --name x");
  invocation.run = [options] { return Status(); };
}

const Command kSample{"sample", "Running", "shows a sample", add_sample};

TEST(Help, ShowsEveryOptionInItsGroupWithItsDefault) {
  Invocation invocation;
  const std::string help = command_help(*make_app(kSample, invocation));
  EXPECT_EQ(help,
            "usage: fathom sample [options] [FILES...]\n"
            "\n"
            "shows a sample\n"
            "\n"
            "Arguments\n"
            "  FILES...                  Texts to read [default: standard input]\n"
            "\n"
            "Computation\n"
            "  --threads N               Threads that compute [default: the cores this\n"
            "                            process may use]\n"
            "\n"
            "Sampling\n"
            "  --temperature T           Spread of the choice among the next tokens, a long\n"
            "                            text that has to be wrapped [default: 0.6]\n"
            "  --name NAME               A name [required]\n"
            "  -g, --greedy              Take the likeliest token\n"
            "\n"
            "General\n"
            "  --log-level error|warning|info|debug\n"
            "                            How much to say on standard error [default: warning]\n"
            "  --quiet                   No progress and no notes: errors only\n"
            "  -h, --help                Show this help\n"
            "\n"
            "An option without a value is off unless given.\n"
            "\n"
            "Example:\n"
            "  fathom sample --name x\n");
}

TEST(Help, ListsCommandsUnderTheirGroups) {
  const Command commands[] = {kSample,
                              {"other", "Running", "another", add_sample},
                              {"third", "Weights", "one more", add_sample}};
  const std::string list = command_list(commands);
  EXPECT_NE(
      list.find("\nRunning\n  sample      shows a sample\n  other       another\n\nWeights\n"),
      std::string::npos)
      << list;
}

}  // namespace
}  // namespace fathom::cli
