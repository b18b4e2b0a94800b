#include "kernels/dispatch.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace fathom {

namespace {

#if defined(__x86_64__)
// What the processor has and the operating system saves; read once from cpuid, since the compilers'
// builtins do not agree on the names of features.
struct CpuidLeaf {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuidLeaf cpuid(unsigned leaf, unsigned subleaf) {
  CpuidLeaf out;
  if (__get_cpuid_count(leaf, subleaf, &out.eax, &out.ebx, &out.ecx, &out.edx) == 0)
    return CpuidLeaf{};
  return out;
}

bool has_bits(unsigned word, std::initializer_list<int> bits) {
  return std::all_of(bits.begin(), bits.end(),
                     [word](int bit) { return ((word >> bit) & 1u) != 0; });
}

// XCR0: which registers the operating system saves when it switches threads.
unsigned saved_state() {
  if (!has_bits(cpuid(1, 0).ecx, {27})) return 0;  // OSXSAVE
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool cpu_has_avx2() {
  constexpr unsigned kYmm = 0x6;
  return (saved_state() & kYmm) == kYmm &&
         has_bits(cpuid(1, 0).ecx, {12, 28, 29}) &&  // FMA, AVX, F16C
         has_bits(cpuid(7, 0).ebx, {5, 8});          // AVX2, BMI2
}

bool cpu_has_avx512() {
  constexpr unsigned kZmm = 0xe6;
  return cpu_has_avx2() && (saved_state() & kZmm) == kZmm &&
         has_bits(cpuid(7, 0).ebx, {16, 17, 30, 31}) &&  // F, DQ, BW, VL
         has_bits(cpuid(7, 0).ecx, {1, 11}) &&           // VBMI, VNNI
         has_bits(cpuid(7, 1).eax, {5});                 // BF16
}

// The tiles' registers are 8 KB, which Linux gives to a process only when it asks.
bool may_use_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool cpu_has_amx() {
  constexpr unsigned kTiles = 0x60000;
  return (saved_state() & kTiles) == kTiles &&
         has_bits(cpuid(7, 0).edx, {22, 24, 25}) &&  // AMX-BF16, AMX-TILE, AMX-INT8
         may_use_tiles();
}
#endif

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
    case Isa::kAmx:
      return "amx";
  }
  return "?";
}

const std::vector<Isa>& available_isas() {
  static const std::vector<Isa> isas = [] {
    std::vector<Isa> found{Isa::kRef};
#if defined(__x86_64__)
    if (cpu_has_avx2()) found.push_back(Isa::kAvx2);
    if (cpu_has_avx512()) found.push_back(Isa::kAvx512);
    if (cpu_has_avx512() && cpu_has_amx()) found.push_back(Isa::kAmx);
#endif
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
  for (Isa isa : {Isa::kRef, Isa::kAvx2, Isa::kAvx512, Isa::kAmx}) {
    if (wanted != isa_name(isa)) continue;
    const auto& isas = available_isas();
    if (std::find(isas.begin(), isas.end(), isa) != isas.end()) return isa;
    return usage_error(origin, " ", wanted, ": this machine does not have it; it has ",
                       available_names());
  }
  return usage_error(origin, " '", wanted, "' is unknown; this machine has ", available_names());
}

}  // namespace fathom
