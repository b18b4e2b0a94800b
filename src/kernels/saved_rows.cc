#include "kernels/saved_rows.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/math.h"
#include "kernels/kernel_sets.h"
#include "tensor/numeric.h"

namespace fathom {
namespace {

constexpr int64_t kTile = 128;
constexpr float kE5m6Max = 65024;  // 2^15 (2 - 2^-6)

int64_t value_bytes(SavedFormat format) {
  return format == SavedFormat::kF32 ? 4 : format == SavedFormat::kFp8 ? 1 : 2;
}

// The power of two that brings the tile within the format's range.
float e5m6_scale(float amax) {
  if (!(amax > 0) || !std::isfinite(amax)) return 1.0f;
  int exponent = 0;
  const float mantissa = std::frexp(amax / kE5m6Max, &exponent);
  if (mantissa == 0.5f) --exponent;
  return std::ldexp(1.0f, std::clamp(exponent, -126, 126));
}

}  // namespace

void read_row(Isa isa, const RowsView& rows, int64_t row, int64_t n, float* out) {
  const AttentionTable& table = *kernel_set(isa).attention;  // which keeps its cache in these
  const int64_t at = row * rows.stride;
  switch (rows.format) {
    case SavedFormat::kF32:
      std::copy_n(static_cast<const float*>(rows.data) + at, n, out);
      return;
    case SavedFormat::kBf16:
    case SavedFormat::kE5m6:
      table.from_bf16(static_cast<const uint16_t*>(rows.data) + at, out, n);
      return;
    case SavedFormat::kFp8:
      break;
  }
  const auto* codes = static_cast<const uint8_t*>(rows.data) + at;
  const float* scales = rows.scales + row * rows.scale_stride;
  table.from_e4m3(codes, reinterpret_cast<const char*>(scales), out, n);
}

SavedRows::SavedRows(SavedFormat format, int64_t max_rows, int64_t max_k)
    : format_(format),
      max_rows_(max_rows),
      max_k_(max_k),
      data_(max_rows * max_k * value_bytes(format)) {
  if (format == SavedFormat::kFp8) scales_ = Buffer<float>(max_rows * ceil_div(max_k, kTile));
}

RowsView SavedRows::view() const {
  return {format_, data_.data(), k_, scales_.data(), ceil_div(k_, kTile)};
}

void SavedRows::store(const Compute& compute, const float* x, int64_t ldx, int64_t m, int64_t k) {
  FATHOM_CHECK(m >= 0 && m <= max_rows_ && k >= 0 && k <= max_k_ && ldx >= k, "rows [", m, ", ", k,
               "] in room for [", max_rows_, ", ", max_k_, "], ldx ", ldx);
  m_ = m;
  k_ = k;
  const GradientTable& table = *kernel_set(compute.isa).gradient;
  const auto to_bf16 = kernel_set(compute.isa).attention->to_bf16;
  const int64_t n_tiles = ceil_div(k, kTile);
  compute.pool->parallel_for(m, [&](int64_t row, int) {
    const float* from = x + row * ldx;
    std::byte* const to = data_.data() + row * k * value_bytes(format_);
    switch (format_) {
      case SavedFormat::kF32:
        std::copy_n(from, k, reinterpret_cast<float*>(to));
        return;
      case SavedFormat::kBf16:
        to_bf16(from, reinterpret_cast<uint16_t*>(to), k);
        return;
      case SavedFormat::kE5m6:
        for (int64_t at = 0; at < k; at += kTile) {
          const int64_t n = std::min(kTile, k - at);
          table.e5m6_codes(from + at, e5m6_scale(table.amax(from + at, n)),
                           reinterpret_cast<uint16_t*>(to) + at, n);
        }
        return;
      case SavedFormat::kFp8:
        break;
    }
    for (int64_t at = 0; at < k; at += kTile) {
      const int64_t n = std::min(kTile, k - at);
      const float scale = fp8_scale(table.amax(from + at, n), /*ue8m0=*/false);
      scales_[row * n_tiles + at / kTile] = scale;
      table.e4m3_codes(from + at, scale, reinterpret_cast<uint8_t*>(to) + at, n);
    }
  });
}

void SavedRows::load(const Compute& compute, float* out, int64_t ldo) const {
  const RowsView rows = view();
  compute.pool->parallel_for(
      m_, [&](int64_t row, int) { read_row(compute.isa, rows, row, k_, out + row * ldo); });
}

}  // namespace fathom
