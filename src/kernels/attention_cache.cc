// Rows of the latent cache: written once, read back exactly.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/math.h"
#include "kernels/attention_state.h"
#include "tensor/numeric.h"

namespace fathom {
namespace {

constexpr int64_t kScaleValues = 128;

// Where the parts of an FP8 row begin.
int64_t scales_offset(const KvLayout& layout) { return layout.kv_lora_rank; }
int64_t rope_offset(const KvLayout& layout) {
  return layout.kv_lora_rank + 4 * ceil_div(layout.kv_lora_rank, kScaleValues);
}

void write_fp8_row(const AttentionTable& kernels, const KvLayout& layout, const float* latent,
                   const float* rope, std::byte* row) {
  for (int64_t begin = 0; begin < layout.kv_lora_rank; begin += kScaleValues) {
    const int64_t end = std::min(begin + kScaleValues, layout.kv_lora_rank);
    float amax = 0.0f;
    for (int64_t i = begin; i < end; ++i) amax = std::max(amax, std::fabs(latent[i]));
    const float scale = fp8_scale(amax, false);
    for (int64_t i = begin; i < end; ++i)
      row[i] = static_cast<std::byte>(f32_to_e4m3(latent[i] / scale));
    std::memcpy(row + scales_offset(layout) + begin / kScaleValues * 4, &scale, sizeof scale);
  }
  kernels.to_bf16(rope, reinterpret_cast<uint16_t*>(row + rope_offset(layout)),
                  layout.qk_rope_head_dim);
}

}  // namespace

int64_t KvLayout::row_bytes() const {
  switch (dtype) {
    case KvDtype::kF32:
      return 4 * (kv_lora_rank + qk_rope_head_dim);
    case KvDtype::kBf16:
      return round_up(2 * (kv_lora_rank + qk_rope_head_dim), 4);
    case KvDtype::kFp8:
      return round_up(rope_offset(*this) + 2 * qk_rope_head_dim, 4);
  }
  return 0;
}

void kv_write_row(Isa isa, const KvLayout& layout, const float* latent, const float* rope,
                  std::byte* row) {
  const AttentionTable& kernels = attention_kernels(isa);
  // The padding at the end of a row is zero: it may stand beside the last value in a pair.
  std::memset(row + layout.row_bytes() - 4, 0, 4);
  switch (layout.dtype) {
    case KvDtype::kF32:
      std::memcpy(row, latent, static_cast<size_t>(4 * layout.kv_lora_rank));
      std::memcpy(row + 4 * layout.kv_lora_rank, rope,
                  static_cast<size_t>(4 * layout.qk_rope_head_dim));
      return;
    case KvDtype::kBf16: {
      auto* values = reinterpret_cast<uint16_t*>(row);
      kernels.to_bf16(latent, values, layout.kv_lora_rank);
      kernels.to_bf16(rope, values + layout.kv_lora_rank, layout.qk_rope_head_dim);
      return;
    }
    case KvDtype::kFp8:
      write_fp8_row(kernels, layout, latent, rope, row);
      return;
  }
}

void kv_read_row(Isa isa, const KvLayout& layout, const std::byte* row, float* latent,
                 float* rope) {
  const AttentionTable& kernels = attention_kernels(isa);
  switch (layout.dtype) {
    case KvDtype::kF32:
      std::memcpy(latent, row, static_cast<size_t>(4 * layout.kv_lora_rank));
      std::memcpy(rope, row + 4 * layout.kv_lora_rank,
                  static_cast<size_t>(4 * layout.qk_rope_head_dim));
      return;
    case KvDtype::kBf16: {
      const auto* values = reinterpret_cast<const uint16_t*>(row);
      kernels.from_bf16(values, latent, layout.kv_lora_rank);
      kernels.from_bf16(values + layout.kv_lora_rank, rope, layout.qk_rope_head_dim);
      return;
    }
    case KvDtype::kFp8:
      kernels.from_e4m3(reinterpret_cast<const uint8_t*>(row),
                        reinterpret_cast<const char*>(row + scales_offset(layout)), latent,
                        layout.kv_lora_rank);
      kernels.from_bf16(reinterpret_cast<const uint16_t*>(row + rope_offset(layout)), rope,
                        layout.qk_rope_head_dim);
      return;
  }
}

void read_block(const AttentionCall& call, const std::byte* block, int64_t n_rows,
                AttentionScratch& scratch) {
  const int64_t rank = call.layout.kv_lora_rank;
  const int64_t stride = rank + call.layout.qk_rope_head_dim;
  for (int64_t j = 0; j < n_rows; ++j) {
    float* row = scratch.rows.data() + j * stride;
    kv_read_row(call.compute.isa, call.layout, block + j * call.layout.row_bytes(), row,
                row + rank);
  }
}

}  // namespace fathom
