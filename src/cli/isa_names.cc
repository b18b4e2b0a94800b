#include "cli/isa_names.h"

namespace fathom::cli {

std::string isa_names() {
  std::string names;
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512) names += "avx512 ";
  if (avx2) names += "avx2 ";
#endif
  return names + "ref";
}

}  // namespace fathom::cli
