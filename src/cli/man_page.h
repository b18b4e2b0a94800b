// The man page and the completion scripts, made of the commands' declarations: `fathom man` and
// `fathom completion SHELL` print them, the build installs what they print.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cli/commands.h"

namespace fathom::cli {

// fathom.1 in troff with the man macros.
std::string man_page(std::span<const Command> commands, std::string_view version);

// shell: bash, zsh or fish.
Result<std::string> completion_script(std::span<const Command> commands, std::string_view shell);

}  // namespace fathom::cli
