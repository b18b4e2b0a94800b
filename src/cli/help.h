// What the program says about itself: the list of commands, the help of one, and the same facts as
// data for the man page and shell completion. All of it comes from the declarations of the
// commands.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/commands.h"

namespace fathom::cli {

// The command's app with its options declared and the help flag, not parsed yet.
std::unique_ptr<CLI::App> make_app(const Command& command, Invocation& invocation);

// `fathom help`: one screen.
std::string command_list(std::span<const Command> commands);

// `fathom COMMAND --help`: usage, options by group with their defaults, one example.
std::string command_help(const CLI::App& app);

// The options in the order in which help shows them: positional arguments first ("Arguments"), then
// the groups.
struct OptionGroup {
  std::string name;
  std::vector<const CLI::Option*> options;
};
std::vector<OptionGroup> option_groups(const CLI::App& app);

std::string option_names(const CLI::Option& option);    // "-h, --help", "--threads N", "FILES..."
std::string option_metavar(const CLI::Option& option);  // "N"; empty for a flag
std::string option_default(
    const CLI::Option& option);  // "[default: 1]", "[required]"; empty for a flag
bool option_takes_value(const CLI::Option& option);

// `fathom COMMAND [options] [FILES...]`
std::string usage_line(const CLI::App& app);

}  // namespace fathom::cli
