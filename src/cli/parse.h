// The adapter to CLI11's parser: its exceptions become one clear sentence with exit code 2.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace fathom::cli {

enum class ParseOutcome { kParsed, kHelp };

// Arguments come after the command's name. An unknown option is answered with the nearest one there
// is.
Result<ParseOutcome> parse_arguments(CLI::App& app, std::vector<std::string> arguments);

}  // namespace fathom::cli
