// What the tests of integer weights share: random weights of every block type.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "base/math.h"
#include "kernels/linear.h"
#include "kernels/linear_testing.h"
#include "tensor/numeric.h"

namespace fathom::quant_testing {

inline constexpr Dtype kBlockTypes[] = {Dtype::kInt8, Dtype::kInt4, Dtype::kQ8_0, Dtype::kQ4_0,
                                        Dtype::kQ4_1, Dtype::kQ5_0, Dtype::kQ5_1, Dtype::kQ4_K,
                                        Dtype::kQ5_K, Dtype::kQ6_K};

struct QuantWeight {
  std::vector<unsigned char> memory;
  LinearWeight weight;
};

inline void put_f16(std::mt19937& rng, unsigned char* at) {
  const auto value = static_cast<float>(static_cast<int>(rng() % 2001) - 1000);
  const uint16_t bits = f32_to_f16(value * 1e-5f);
  std::memcpy(at, &bits, 2);
}

// Scales of moderate size in one block of random codes; not a NaN, which random bits may be.
inline void put_scales(std::mt19937& rng, Dtype dtype, unsigned char* block) {
  switch (dtype) {
    case Dtype::kInt8:
      for (int lane = 0; lane < 16; ++lane) {
        const float scale = 1e-4f + static_cast<float>(rng() % 1000) * 1e-6f;
        std::memcpy(block + 4 * lane, &scale, 4);
      }
      return;
    case Dtype::kInt4:
      for (int i = 0; i < 32; ++i) put_f16(rng, block + 2 * i);
      return;
    case Dtype::kQ4_1:
    case Dtype::kQ5_1:
    case Dtype::kQ4_K:
    case Dtype::kQ5_K:
      put_f16(rng, block);
      put_f16(rng, block + 2);
      return;
    case Dtype::kQ6_K:
      put_f16(rng, block + 208);
      return;
    default:
      put_f16(rng, block);
  }
}

// Random bytes with sound scales, in the padding too: what is there must not matter. At an odd
// address.
inline std::unique_ptr<QuantWeight> make_quant(std::mt19937& rng, Dtype dtype, int64_t n, int64_t k,
                                               int n_segments = 1) {
  auto test = std::make_unique<QuantWeight>();
  const int64_t bytes = matrix_bytes(dtype, n, k);
  test->memory.resize(static_cast<size_t>(bytes + 1));
  for (unsigned char& byte : test->memory) byte = static_cast<unsigned char>(rng());
  unsigned char* data = test->memory.data() + 1;
  for (int64_t at = 0; at < bytes; at += dtype_block(dtype).bytes) {
    put_scales(rng, dtype, data + at);
    // Codes of packed INT8 are 1 ... 255.
    for (int64_t i = 64; dtype == Dtype::kInt8 && i < dtype_block(dtype).bytes; ++i)
      data[at + i] = data[at + i] == 0 ? 1 : data[at + i];
  }
  test->weight = {dtype, n, k, data, nullptr, n_segments};
  return test;
}

// Lengths of rows that the type can have, near every boundary.
inline std::vector<int64_t> row_lengths(Dtype dtype) {
  const DtypeBlock block = dtype_block(dtype);
  if (block.rows > 1) return {1, 5, 16, 63, 64, 65, 127, 128, 129, 200, 384};
  if (block.cols == 32) return {32, 64, 96, 128, 160, 256, 416};
  return {256, 512, 768};
}

}  // namespace fathom::quant_testing
