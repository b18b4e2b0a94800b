// What `fathom --version` prints. The commit is found at build time (cmake/FathomVersion.cmake).
#pragma once

namespace fathom::cli {

extern const char kVersion[];  // "0.1.0"
extern const char
    kCommit[];  // "15dac92a01b2", "...-modified" with uncommitted changes, "unknown" without git
extern const char kCompiler[];  // "GNU 12.2.0, Release"

}  // namespace fathom::cli
