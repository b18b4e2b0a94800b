#include "kernels/dispatch.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "kernels/kernel_sets.h"

namespace fathom {

namespace {

// All that have a name, whether this build and this CPU have them or not.
constexpr Isa kIsas[] = {Isa::kRef,        Isa::kAvx2, Isa::kAvx512,
                         Isa::kAvx512Bf16, Isa::kAmx,  Isa::kNeon};

std::string available_names() {
  std::string names;
  for (Isa isa : available_isas()) {
    if (!names.empty()) names += ", ";
    names += isa_name(isa);
  }
  return names;
}

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::kRef:
      return "ref";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512bf16";
    case Isa::kAmx:
      return "amx";
    case Isa::kNeon:
      return "neon";
  }
  return "?";
}

const std::vector<Isa>& available_isas() {
  static const std::vector<Isa> isas = [] {
    std::vector<Isa> found{Isa::kRef};
    for (const KernelSet& set : vector_kernel_sets()) {
      if (set.cpu_has()) found.push_back(set.isa);
    }
    return found;
  }();
  return isas;
}

Result<Isa> select_isa(std::string_view name) {
  std::string_view wanted = name;
  std::string_view origin = "instruction set";
  if (name == "auto") {
    const char* forced = std::getenv("FATHOM_ISA");
    if (forced == nullptr || *forced == '\0') return available_isas().back();
    wanted = forced;
    origin = "FATHOM_ISA";
  }
  for (Isa isa : kIsas) {
    if (wanted != isa_name(isa)) continue;
    const auto& isas = available_isas();
    if (std::find(isas.begin(), isas.end(), isa) != isas.end()) return isa;
    return usage_error(origin, " ", wanted, ": this machine does not have it; it has ",
                       available_names());
  }
  return usage_error(origin, " '", wanted, "' is unknown; this machine has ", available_names());
}

}  // namespace fathom
