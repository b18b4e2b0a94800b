#include "tensor/gguf_blocks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "tensor/numeric.h"

namespace fathom {

namespace {

constexpr int64_t kSmallBlock = 32;  // Q8_0, Q4_0
constexpr int64_t kBlock = 256;      // K-quants
constexpr int64_t kGroups = 8;       // of 32, Q4_K and Q5_K
constexpr int64_t kGroup = 32;
constexpr int64_t kSixGroups = 16;  // of 16, Q6_K
constexpr int64_t kSixGroup = 16;

void put_f16(std::byte* out, F16 value) { std::memcpy(out, &value, sizeof value); }
std::byte to_byte(int value) { return static_cast<std::byte>(value & 0xff); }

// Scales of real weights are far inside the range of F16; what is beyond becomes its largest.
F16 scale_f16(float value) { return f32_to_f16(std::clamp(value, -65504.0f, 65504.0f)); }

int nearest(float value, int low, int high) {
  return static_cast<int>(
      std::nearbyint(std::clamp(value, static_cast<float>(low), static_cast<float>(high))));
}

// F16 scale, 32 int8.
void write_q8_0(const float* x, std::byte* out) {
  float amax = 0;
  for (int64_t i = 0; i < kSmallBlock; ++i) amax = std::max(amax, std::fabs(x[i]));
  const F16 scale = scale_f16(amax / 127);
  const float inverse = amax == 0 || f16_to_f32(scale) == 0 ? 0 : 1 / f16_to_f32(scale);
  put_f16(out, scale);
  for (int64_t i = 0; i < kSmallBlock; ++i)
    out[2 + i] = to_byte(nearest(x[i] * inverse, -127, 127));
}

// F16 scale, 32 codes of 4 bits minus 8: byte i holds those of columns i and 16 + i. The scale's
// sign makes the value of largest magnitude -8.
void write_q4_0(const float* x, std::byte* out) {
  float extreme = 0;
  for (int64_t i = 0; i < kSmallBlock; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  const F16 scale = scale_f16(extreme / -8);
  const float inverse = f16_to_f32(scale) == 0 ? 0 : 1 / f16_to_f32(scale);
  put_f16(out, scale);
  const auto code = [&](int64_t i) { return nearest(x[i] * inverse, -8, 7) + 8; };
  for (int64_t i = 0; i < 16; ++i) out[2 + i] = to_byte(code(i) | code(16 + i) << 4);
}

// w = scale * u - minimum, u in [0, u_max], both >= 0.
struct Affine {
  float scale = 0;
  float minimum = 0;
};

double squared_error(const float* x, const Affine& a, int u_max) {
  double error = 0;
  for (int64_t i = 0; i < kGroup; ++i) {
    const int u = a.scale == 0 ? 0 : nearest((x[i] + a.minimum) / a.scale, 0, u_max);
    const double difference = double{a.scale} * u - double{a.minimum} - double{x[i]};
    error += difference * difference;
  }
  return error;
}

// The line of least squares through (u, x) for the codes that a gives.
Affine refitted(const float* x, const Affine& a, int u_max) {
  double sum_u = 0, sum_uu = 0, sum_x = 0, sum_ux = 0;
  for (int64_t i = 0; i < kGroup; ++i) {
    const int u = nearest((x[i] + a.minimum) / a.scale, 0, u_max);
    sum_u += u;
    sum_uu += double{1} * u * u;
    sum_x += x[i];
    sum_ux += double{x[i]} * u;
  }
  const double n = kGroup;
  const double determinant = n * sum_uu - sum_u * sum_u;
  if (determinant <= 0) return a;
  const double scale = (n * sum_ux - sum_u * sum_x) / determinant;
  const double minimum = -(sum_x - scale * sum_u) / n;
  if (scale <= 0) return a;
  if (minimum >= 0) return {static_cast<float>(scale), static_cast<float>(minimum)};
  // A minimum cannot be negative: the line through the origin.
  return {static_cast<float>(sum_ux / sum_uu), 0};
}

// Ranges around that of the values, each refitted once; the best.
Affine best_affine(const float* x, int u_max) {
  float low = 0, high = 0;  // zero is always in the range
  for (int64_t i = 0; i < kGroup; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  if (high == low) return {};
  Affine best{(high - low) / static_cast<float>(u_max), -low};
  double best_error = squared_error(x, best, u_max);
  constexpr int kSteps = 12;
  for (int step = -kSteps / 2; step <= kSteps; ++step) {
    // Narrower ranges cut off the extremes, which often costs less than coarse steps do.
    const float width = (high - low) * (1 - 0.02f * static_cast<float>(step));
    const Affine tried = refitted(x, {width / static_cast<float>(u_max), -low}, u_max);
    if (!(tried.scale > 0)) continue;
    const double error = squared_error(x, tried, u_max);
    if (error < best_error) {
      best = tried;
      best_error = error;
    }
  }
  return best;
}

// Q4_K and Q5_K begin alike: F16 scale and minimum of the block, then 12 bytes with a 6-bit scale
// and a 6-bit minimum of each group. The first four of each fill the low six bits of bytes 0-3
// and 4-7; of the last four the low four bits stand in bytes 8-11, the high two above those.
struct KHeader {
  std::array<int, kGroups> scales{}, minima{};
  float scale = 0, minimum = 0;
};
void write_header(const KHeader& h, std::byte* out) {
  for (int64_t j = 0; j < 4; ++j) {
    const auto i = static_cast<size_t>(j);
    out[4 + j] = to_byte(h.scales[i] | (h.scales[i + 4] >> 4) << 6);
    out[8 + j] = to_byte(h.minima[i] | (h.minima[i + 4] >> 4) << 6);
    out[12 + j] = to_byte((h.scales[i + 4] & 15) | (h.minima[i + 4] & 15) << 4);
  }
}

KHeader choose_header(const float* x, int u_max, std::byte* out) {
  std::array<Affine, kGroups> groups;
  KHeader h;
  for (size_t j = 0; j < groups.size(); ++j) {
    groups[j] = best_affine(x + j * kGroup, u_max);
    h.scale = std::max(h.scale, groups[j].scale);
    h.minimum = std::max(h.minimum, groups[j].minimum);
  }
  const F16 scale = scale_f16(h.scale / 63), minimum = scale_f16(h.minimum / 63);
  put_f16(out, scale);
  put_f16(out + 2, minimum);
  h.scale = f16_to_f32(scale);
  h.minimum = f16_to_f32(minimum);
  for (size_t j = 0; j < groups.size(); ++j) {
    h.scales[j] = h.scale == 0 ? 0 : nearest(groups[j].scale / h.scale, 0, 63);
    h.minima[j] = h.minimum == 0 ? 0 : nearest(groups[j].minimum / h.minimum, 0, 63);
  }
  write_header(h, out);
  return h;
}

std::array<uint8_t, kBlock> affine_codes(const float* x, const KHeader& h, int u_max) {
  std::array<uint8_t, kBlock> codes{};
  for (int64_t k = 0; k < kBlock; ++k) {
    const auto j = static_cast<size_t>(k / kGroup);
    const float scale = h.scale * static_cast<float>(h.scales[j]);
    const float minimum = h.minimum * static_cast<float>(h.minima[j]);
    const int u = scale == 0 ? 0 : nearest((x[k] + minimum) / scale, 0, u_max);
    codes[static_cast<size_t>(k)] = static_cast<uint8_t>(u);
  }
  return codes;
}

// Pairs of groups share 32 bytes of low halves: the even group's in the low four bits.
void write_nibbles(const std::array<uint8_t, kBlock>& codes, std::byte* out) {
  for (size_t pair = 0; pair < 4; ++pair) {
    for (size_t i = 0; i < 32; ++i) {
      const int low = codes[pair * 64 + i] & 15, high = codes[pair * 64 + 32 + i] & 15;
      out[pair * 32 + i] = to_byte(low | high << 4);
    }
  }
}

void write_q4_k(const float* x, std::byte* out) {
  const KHeader h = choose_header(x, 15, out);
  write_nibbles(affine_codes(x, h, 15), out + 16);
}

// 32 bytes of fifth bits before the nibbles: bit j of byte i is of column 32 j + i.
void write_q5_k(const float* x, std::byte* out) {
  const KHeader h = choose_header(x, 31, out);
  const std::array<uint8_t, kBlock> codes = affine_codes(x, h, 31);
  for (size_t i = 0; i < 32; ++i) {
    int bits = 0;
    for (size_t j = 0; j < 8; ++j) bits |= (codes[j * 32 + i] >> 4) << j;
    out[16 + i] = to_byte(bits);
  }
  write_nibbles(codes, out + 48);
}

// The scale of a group with codes in [-32, 31] and the least squared error: that of the extreme
// value, and some around it.
float best_symmetric(const float* x) {
  float extreme = 0;
  for (int64_t i = 0; i < kSixGroup; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  if (extreme == 0) return 0;
  float best = 0;
  double best_error = HUGE_VAL;
  for (int step = -9; step <= 9; ++step) {
    const float tried = extreme / (-32 + 0.1f * static_cast<float>(step));
    double sum_cc = 0, sum_cx = 0, sum_xx = 0;
    for (int64_t i = 0; i < kSixGroup; ++i) {
      const double code = nearest(x[i] / tried, -32, 31);
      sum_cc += code * code;
      sum_cx += code * x[i];
      sum_xx += double{x[i]} * x[i];
    }
    if (sum_cc == 0) continue;
    // The best scale for these codes, and its error.
    const double error = sum_xx - sum_cx * sum_cx / sum_cc;
    if (error < best_error) {
      best_error = error;
      best = static_cast<float>(sum_cx / sum_cc);
    }
  }
  return best;
}

// 128 bytes of low halves, 64 of high two bits, 16 int8 scales, F16 scale. In each half of 128
// columns, byte i < 64 has the low bits of columns i and 64 + i; byte i < 32 of the high ones those
// of columns i, 32 + i, 64 + i, 96 + i.
void write_q6_k(const float* x, std::byte* out) {
  std::array<float, kSixGroups> scales;
  float extreme = 0;
  for (size_t j = 0; j < scales.size(); ++j) {
    scales[j] = best_symmetric(x + j * kSixGroup);
    if (std::fabs(scales[j]) > std::fabs(extreme)) extreme = scales[j];
  }
  const F16 scale = scale_f16(extreme / -128);
  const float block_scale = f16_to_f32(scale);
  std::array<uint8_t, kBlock> codes;
  for (size_t j = 0; j < scales.size(); ++j) {
    const int group = block_scale == 0 ? 0 : nearest(scales[j] / block_scale, -128, 127);
    out[192 + j] = to_byte(group);
    const float s = block_scale * static_cast<float>(group);
    for (size_t i = 0; i < kSixGroup; ++i) {
      const size_t k = j * kSixGroup + i;
      codes[k] = static_cast<uint8_t>((s == 0 ? 0 : nearest(x[k] / s, -32, 31)) + 32);
    }
  }
  put_f16(out + 208, scale);
  for (size_t half = 0; half < 2; ++half) {
    const uint8_t* c = codes.data() + half * 128;
    for (size_t i = 0; i < 64; ++i)
      out[half * 64 + i] = to_byte((c[i] & 15) | (c[64 + i] & 15) << 4);
    for (size_t i = 0; i < 32; ++i) {
      out[128 + half * 32 + i] = to_byte(c[i] >> 4 | (c[32 + i] >> 4) << 2 | (c[64 + i] >> 4) << 4 |
                                         (c[96 + i] >> 4) << 6);
    }
  }
}

bool is_finite_f16(const std::byte* at) {
  F16 value;
  std::memcpy(&value, at, sizeof value);
  return (value & 0x7c00) != 0x7c00;
}

}  // namespace

bool is_gguf_block_type(Dtype dtype) {
  return dtype == Dtype::kQ8_0 || dtype == Dtype::kQ4_0 || dtype == Dtype::kQ4_K ||
         dtype == Dtype::kQ5_K || dtype == Dtype::kQ6_K;
}

void write_blocks(Dtype dtype, const float* row, int64_t k, std::byte* out) {
  const DtypeBlock block = dtype_block(dtype);
  FATHOM_CHECK(is_gguf_block_type(dtype) && k % block.cols == 0, dtype_name(dtype), " of ", k);
  for (int64_t i = 0; i < k; i += block.cols, row += block.cols, out += block.bytes) {
    switch (dtype) {
      case Dtype::kQ8_0:
        write_q8_0(row, out);
        break;
      case Dtype::kQ4_0:
        write_q4_0(row, out);
        break;
      case Dtype::kQ4_K:
        write_q4_k(row, out);
        break;
      case Dtype::kQ5_K:
        write_q5_k(row, out);
        break;
      default:
        write_q6_k(row, out);
        break;
    }
  }
}

bool is_finite_gguf_block(Dtype dtype, const std::byte* block) {
  switch (dtype) {
    case Dtype::kQ4_1:
    case Dtype::kQ5_1:
    case Dtype::kQ4_K:
    case Dtype::kQ5_K:
      return is_finite_f16(block) && is_finite_f16(block + 2);
    case Dtype::kQ6_K:
      return is_finite_f16(block + 208);
    default:
      return is_finite_f16(block);
  }
}

}  // namespace fathom
