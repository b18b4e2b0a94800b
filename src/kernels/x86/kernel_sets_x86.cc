// The vector instruction sets of x86-64: what the processor has, and the kernels of each.
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <initializer_list>

#include "kernels/kernel_sets.h"

namespace fathom {

namespace {

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

// AMD's cores do VDPBF16PS as fast as fma, twice the products; Intel's do it at half that speed.
bool cpu_has_fast_bf16() {
  constexpr unsigned kAuth = 0x68747541, kEnti = 0x69746e65, kCamd = 0x444d4163;
  const CpuidLeaf maker = cpuid(0, 0);
  return cpu_has_avx512() && maker.ebx == kAuth && maker.edx == kEnti && maker.ecx == kCamd;
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
  return cpu_has_avx512() && (saved_state() & kTiles) == kTiles &&
         has_bits(cpuid(7, 0).edx, {22, 24, 25}) &&  // AMX-BF16, AMX-TILE, AMX-INT8
         may_use_tiles();
}

constexpr KernelSet kSets[] = {
    {
        .isa = Isa::kAvx2,
        .cpu_has = cpu_has_avx2,
        .linear = {avx2::linear_range, avx2::prepare_row, avx2::weight_row, avx2::quant_range,
                   avx2::prepare_int8},
        .attention = &avx2::kAttention,
        .elementwise = &avx2::kElementwise,
        .optimizer = &avx2::kOptimizer,
        .gradient = &avx2::kGradient,
        .limits = {avx2::limit_read, avx2::limit_fp32, avx2::limit_bf16, avx2::limit_int8},
    },
    {
        .isa = Isa::kAvx512,
        .cpu_has = cpu_has_avx512,
        .linear = {avx512::linear_range, avx512::prepare_row, avx512::weight_row,
                   avx512::quant_range, avx512::prepare_int8, nullptr, nullptr,
                   avx512::quant_widen},
        .attention = &avx512::kAttention,
        .elementwise = &avx512::kElementwise,
        .optimizer = &avx512::kOptimizer,
        .gradient = &avx512::kGradient,
        .limits = {avx512::limit_read, avx512::limit_fp32, avx512::limit_bf16, avx512::limit_int8},
    },
    {
        .isa = Isa::kAvx512Bf16,
        .cpu_has = cpu_has_fast_bf16,
        .linear = {avx512bf16::linear_range, avx512::prepare_row, avx512::weight_row,
                   avx512::quant_range, avx512::prepare_int8, nullptr, avx512bf16::prepare_pairs,
                   avx512::quant_widen},
        .attention = &avx512::kAttention,
        .elementwise = &avx512::kElementwise,
        .optimizer = &avx512::kOptimizer,
        .gradient = &avx512bf16::kGradient,
        .limits = {avx512::limit_read, avx512::limit_fp32, avx512::limit_bf16, avx512::limit_int8},
    },
    {
        .isa = Isa::kAmx,
        .cpu_has = cpu_has_amx,
        .linear = {amx::linear_range, avx512::prepare_row, avx512::weight_row, amx::quant_range,
                   avx512::prepare_int8, amx::prepare_tiles, nullptr, avx512::quant_widen},
        .attention = &amx::kAttention,
        .elementwise = &avx512::kElementwise,
        .optimizer = &avx512::kOptimizer,
        .gradient = &amx::kGradient,
        .limits = {avx512::limit_read, avx512::limit_fp32, amx::limit_bf16, amx::limit_int8},
    },
};

}  // namespace

std::span<const KernelSet> vector_kernel_sets() { return kSets; }

}  // namespace fathom
