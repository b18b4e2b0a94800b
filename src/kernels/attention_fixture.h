// What the tests of attention share: shapes, sequences in a scattered cache, weights, and calls
// over pieces of sequences. For tests only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "tensor/numeric.h"

namespace fathom::attention_fixture {

inline constexpr int64_t kMaxRows = 256;
inline constexpr int64_t kMaxContext = 4608;

inline AttentionShape small_shape() {
  return {.n_heads = 3,
          .qk_nope_head_dim = 20,
          .qk_rope_head_dim = 6,
          .v_head_dim = 18,
          .kv_lora_rank = 36,
          .softmax_scale = 0.2f};
}
// More than one chunk of units, dims that are whole vectors, FP8 scales for a rest.
inline AttentionShape wide_shape() {
  return {.n_heads = 14,
          .qk_nope_head_dim = 32,
          .qk_rope_head_dim = 16,
          .v_head_dim = 64,
          .kv_lora_rank = 160,
          .softmax_scale = 0.15f};
}

// One sequence: its cache in blocks scattered over memory, its queries, one for each position.
class Sequence {
 public:
  Sequence(const AttentionShape& shape, KvDtype kv, int64_t n_positions, uint32_t seed)
      : shape_(shape), layout_{kv, shape.kv_lora_rank, shape.qk_rope_head_dim}, n_(n_positions) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const int64_t n_blocks = (n_positions + kKvBlockRows - 1) / kKvBlockRows;
    // Rows that nobody writes hold NaN in every format.
    memory_.assign(static_cast<size_t>((2 * n_blocks + 1) * layout_.block_bytes()),
                   std::byte{0xff});
    for (int64_t b = 0; b < n_blocks; ++b) {
      blocks_.push_back(memory_.data() + (2 * ((b * 7) % n_blocks) + 1) * layout_.block_bytes());
    }
    if (n_blocks % 7 == 0) {
      for (int64_t b = 0; b < n_blocks; ++b) {
        blocks_[static_cast<size_t>(b)] =
            memory_.data() + (2 * (n_blocks - 1 - b) + 1) * layout_.block_bytes();
      }
    }
    std::vector<float> latent(static_cast<size_t>(shape.kv_lora_rank));
    std::vector<float> rope(static_cast<size_t>(shape.qk_rope_head_dim));
    for (int64_t p = 0; p < n_positions; ++p) {
      for (float& v : latent) v = normal(random);
      for (float& v : rope) v = normal(random);
      kv_write_row(Isa::kRef, layout_, latent.data(), rope.data(), const_cast<std::byte*>(row(p)));
    }
    q_.resize(static_cast<size_t>(n_positions * shape.n_heads * shape.qk_head_dim()));
    for (float& v : q_) v = normal(random);
  }

  const KvLayout& layout() const { return layout_; }
  int64_t size() const { return n_; }
  const std::byte* row(int64_t p) const {
    return blocks_[static_cast<size_t>(p / kKvBlockRows)] + p % kKvBlockRows * layout_.row_bytes();
  }
  const std::byte* const* blocks() const { return blocks_.data(); }
  int64_t q_width() const { return shape_.n_heads * shape_.qk_head_dim(); }
  const float* q(int64_t p) const { return q_.data() + p * q_width(); }

 private:
  AttentionShape shape_;
  KvLayout layout_;
  int64_t n_;
  std::vector<std::byte> memory_;
  std::vector<std::byte*> blocks_;
  std::vector<float> q_;
};

class Weight {
 public:
  Weight(const AttentionShape& shape, Dtype dtype, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 0.2f);
    view.dtype = dtype;
    view.n = shape.n_heads * (shape.qk_nope_head_dim + shape.v_head_dim);
    view.k = shape.kv_lora_rank;
    const size_t count = static_cast<size_t>(view.n * view.k);
    for (size_t i = 0; i < count; ++i) {
      const float v = normal(random);
      if (dtype == Dtype::kF32) f32_.push_back(v);
      if (dtype == Dtype::kBF16) bf16_.push_back(f32_to_bf16(v));
      if (dtype == Dtype::kF8E4M3) e4m3_.push_back(f32_to_e4m3(v * 256.0f));
    }
    const int64_t n_scales = ((view.n + 127) / 128) * ((view.k + 127) / 128);
    for (int64_t i = 0; i < n_scales; ++i)
      scales_.push_back((1.0f + 0.1f * static_cast<float>(i % 5)) / 256.0f);
    view.data = dtype == Dtype::kF32    ? static_cast<const void*>(f32_.data())
                : dtype == Dtype::kBF16 ? static_cast<const void*>(bf16_.data())
                                        : static_cast<const void*>(e4m3_.data());
    if (dtype == Dtype::kF8E4M3) view.scale_inv = scales_.data();
  }
  LinearWeight view;

 private:
  std::vector<float> f32_;
  std::vector<uint16_t> bf16_;
  std::vector<uint8_t> e4m3_;
  std::vector<float> scales_;
};

struct Piece {
  const Sequence* sequence;
  int64_t first_position;
  int64_t n_rows;
  bool absorbed;
};

// All pieces in one call; the results one after the other.
inline std::vector<float> run(Isa isa, int n_threads, const AttentionShape& shape,
                              const LinearWeight& kv_b, const std::vector<Piece>& pieces) {
  std::vector<float> q;
  std::vector<AttentionJob> jobs;
  int64_t n_rows = 0;
  for (const Piece& piece : pieces) {
    jobs.push_back(
        {piece.sequence->blocks(), piece.first_position, n_rows, piece.n_rows, piece.absorbed});
    const float* begin = piece.sequence->q(piece.first_position);
    q.insert(q.end(), begin, begin + piece.n_rows * piece.sequence->q_width());
    n_rows += piece.n_rows;
  }
  Pool pool(n_threads);
  AttentionWorkspace workspace(shape, pieces[0].sequence->layout(), std::max(n_rows, kMaxRows),
                               kMaxContext, n_threads);
  std::vector<float> o(static_cast<size_t>(n_rows * shape.n_heads * shape.v_head_dim),
                       std::numeric_limits<float>::quiet_NaN());
  attention({isa, &pool}, shape, pieces[0].sequence->layout(), kv_b, jobs, q.data(), o.data(),
            workspace);
  return o;
}

inline std::vector<float> run(Isa isa, const AttentionShape& shape, const LinearWeight& kv_b,
                              const Piece& piece) {
  return run(isa, 1, shape, kv_b, {piece});
}

inline bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

inline std::vector<float> rows_of(const std::vector<float>& o, const AttentionShape& shape,
                                  int64_t begin, int64_t n) {
  const int64_t width = shape.n_heads * shape.v_head_dim;
  return {o.begin() + begin * width, o.begin() + (begin + n) * width};
}

inline double largest_difference(const std::vector<float>& got, const std::vector<double>& want) {
  double largest = 0.0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(got[i]) - want[i]);
    if (!(difference <= largest)) largest = difference;  // NaN counts
  }
  return largest;
}

inline std::string name_of(Isa isa, bool absorbed, KvDtype kv) {
  const char* kinds[] = {"f32", "bf16", "fp8"};
  return std::string(isa_name(isa)) + (absorbed ? " absorbed " : " naive ") +
         kinds[static_cast<int>(kv)];
}

// F32: |q| |k| is about 60, so a score of 40 to 180 terms is off by some 2^-24 * 60 * sqrt(terms) *
// softmax_scale = 1e-5, which scales a result of size 1. BF16: each operand is off by up to 2^-9 of
// its size: a score by 60 * 2^-9 * sqrt(2 / terms) ... 0.03 in total, results (up to 2 here) by
// twice that.
inline double tolerance(KvDtype kv) { return kv == KvDtype::kF32 ? 2e-5 : 0.1; }

}  // namespace fathom::attention_fixture
