// The commands of the program: one add_* function and one file each. A command declares its options on a CLI11
// subcommand and, when it is the one called, leaves its work in invocation.run. Results go to standard output,
// everything else to standard error.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "base/result.h"

namespace fathom::cli {

struct Invocation {
  std::function<Status()> run;
};

}  // namespace fathom::cli
