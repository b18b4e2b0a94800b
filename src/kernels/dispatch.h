// Which instruction set the kernels use. Chosen once when the program starts and passed down in
// Compute; results are the same bytes within one set (docs/numerics.md), so every result that
// claims bytes names it. avx512 means F, BW, DQ, VL, VBMI, VNNI and BF16 together; a CPU that lacks
// one runs avx2 (AVX2, FMA, F16C). avx512bf16 is avx512 with VDPBF16PS for products of BF16
// operands, on AMD's processors (Zen 4 and later), where it is twice as fast as fma. amx is avx512
// and AMX tiles for BF16 and INT8 (Sapphire Rapids and later): products of BF16 operands are added
// in the tiles' order, everything else as in avx512. neon is every AArch64 processor; it adds in
// the order of avx2.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "parallel/pool.h"

namespace fathom {

enum class Isa : uint8_t { kRef, kAvx2, kAvx512, kAvx512Bf16, kAmx, kNeon };

std::string_view isa_name(Isa isa);  // "ref", "avx2", "avx512", "avx512bf16", "amx", "neon"
// What this CPU and this build have, kRef first, the fastest last.
const std::vector<Isa>& available_isas();
// "auto" is the fastest available, or what the environment variable FATHOM_ISA names; a set that
// this machine lacks is an error that says which it has.
Result<Isa> select_isa(std::string_view name);

// What a kernel family needs besides its arguments.
struct Compute {
  Isa isa = Isa::kRef;
  Pool* pool = nullptr;
};

}  // namespace fathom
