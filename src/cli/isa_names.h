// The instruction sets of this machine that the kernels can use, as --isa and --version name them.
#pragma once

#include <string>

namespace fathom::cli {

std::string isa_names();  // "avx512 avx2 ref"

}  // namespace fathom::cli
