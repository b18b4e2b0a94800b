// Goal: avx2 and neon are one order of sums, so an Arm machine gives the bytes of an x86 one.
// Method: every kernel family over made-up values, one hash for each; the constants were taken on
// avx2. Values come from integers only: no libm, which differs from machine to machine.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/math.h"
#include "base/mix64.h"
#include "base/xxh64.h"
#include "kernels/attention.h"
#include "kernels/elementwise.h"
#include "kernels/linear.h"
#include "tensor/numeric.h"

namespace fathom {
namespace {

// -4 to 4 in steps of 2^-9, most of them small.
class Source {
 public:
  explicit Source(uint64_t seed) : state_(mix64(seed)) {}
  float next() {
    state_ = mix64(state_);
    const auto a = static_cast<int32_t>(state_ & 0x7ffu) - 1024;
    const auto b = static_cast<int32_t>((state_ >> 16) & 0x7ffu) - 1024;
    return static_cast<float>(a) * static_cast<float>(b) * 0x1p-18f;
  }
  std::vector<float> take(int64_t n) {
    std::vector<float> values(static_cast<size_t>(n));
    for (float& v : values) v = next();
    return values;
  }

 private:
  uint64_t state_;
};

class Hash {
 public:
  void add(const std::vector<float>& values) { hash_.update(std::as_bytes(std::span(values))); }
  void add(double value) { hash_.update(std::as_bytes(std::span(&value, 1))); }
  uint64_t digest() const { return hash_.digest(); }

 private:
  Xxh64 hash_;
};

void for_each_set(uint64_t (*hash)(Isa), uint64_t expected) {
  int n_sets = 0;
  for (Isa isa : available_isas()) {
    if (isa != Isa::kAvx2 && isa != Isa::kNeon) continue;
    EXPECT_EQ(hash(isa), expected) << isa_name(isa);
    ++n_sets;
  }
  if (n_sets == 0) GTEST_SKIP() << "this machine has neither avx2 nor neon";
}

struct WeightBytes {
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  LinearWeight view;
};

WeightBytes make_weight(Dtype dtype, int64_t n, int64_t k, uint64_t seed) {
  WeightBytes weight;
  Source source(seed);
  for (int64_t i = 0; i < n * k; ++i) {
    const float v = source.next();
    const uint16_t half = dtype == Dtype::kF16 ? f32_to_f16(v) : f32_to_bf16(v);
    const E4M3 code = f32_to_e4m3(v * 64.0f);
    const auto push = [&](const auto& value) {
      const auto bytes = std::as_bytes(std::span(&value, 1));
      weight.bytes.insert(weight.bytes.end(), bytes.begin(), bytes.end());
    };
    if (dtype == Dtype::kF32) push(v);
    if (dtype == Dtype::kF16 || dtype == Dtype::kBF16) push(half);
    if (dtype == Dtype::kF8E4M3) push(code);
  }
  const int64_t n_scales = ceil_div(n, 128) * ceil_div(k, 128);
  for (int64_t i = 0; i < n_scales; ++i) weight.scales.push_back(static_cast<float>(i + 3) * 0.1f);
  weight.view = {dtype, n, k, weight.bytes.data(), nullptr, 1};
  if (dtype == Dtype::kF8E4M3) weight.view.scale_inv = weight.scales.data();
  return weight;
}

uint64_t hash_of_linear(Isa isa) {
  struct Case {
    Dtype dtype;
    InputFormat format;
  };
  Hash hash;
  Pool pool(1);
  for (const Case& c :
       {Case{Dtype::kF32, InputFormat::kF32}, Case{Dtype::kF16, InputFormat::kF32},
        Case{Dtype::kBF16, InputFormat::kBf16}, Case{Dtype::kF8E4M3, InputFormat::kFp8},
        Case{Dtype::kF8E4M3, InputFormat::kFp8Ue8m0}}) {
    for (int64_t k : {203, 1024}) {
      WeightBytes weight = make_weight(c.dtype, 21, k, 1);
      if (k == 1024) weight.view.n_segments = 8;
      const std::vector<float> x = Source(2).take(11 * k);
      LinearInput input(11, k);
      input.prepare({isa, &pool}, x.data(), k, 11, k, c.format);
      std::vector<float> y(11 * 21);
      linear({isa, &pool}, input, weight.view, y.data(), 21);
      hash.add(y);
      std::vector<float> row(static_cast<size_t>(k));
      weight_row(isa, weight.view, 20, row.data());
      hash.add(row);
    }
  }
  return hash.digest();
}

uint64_t hash_of_attention(Isa isa) {
  const AttentionShape shape = {.n_heads = 2,
                                .qk_nope_head_dim = 20,
                                .qk_rope_head_dim = 6,
                                .v_head_dim = 18,
                                .kv_lora_rank = 140,
                                .softmax_scale = 0.02f};
  constexpr int64_t kRows = 70, kBlocks = 2;
  const WeightBytes kv_b = make_weight(Dtype::kBF16, 2 * (20 + 18), 140, 3);
  const std::vector<float> q = Source(4).take(kRows * 2 * 26);
  Hash hash;
  Pool pool(1);
  for (KvDtype dtype : {KvDtype::kF32, KvDtype::kBf16, KvDtype::kFp8}) {
    const KvLayout layout{dtype, 140, 6};
    std::vector<std::byte> cache(static_cast<size_t>(kBlocks * layout.block_bytes()));
    Source source(5);
    for (int64_t p = 0; p < kRows; ++p) {
      const std::vector<float> latent = source.take(140), rope = source.take(6);
      kv_write_row(isa, layout, latent.data(), rope.data(), cache.data() + p * layout.row_bytes());
    }
    const std::byte* blocks[kBlocks] = {cache.data(), cache.data() + layout.block_bytes()};
    for (bool absorbed : {false, true}) {
      const AttentionJob job = {blocks, 0, 0, kRows, absorbed};
      AttentionWorkspace workspace(shape, layout, kRows, kRows, 1);
      std::vector<float> o(kRows * 2 * 18);
      attention({isa, &pool}, shape, layout, kv_b.view, std::span(&job, 1), q.data(), o.data(),
                workspace);
      hash.add(o);
    }
  }
  return hash.digest();
}

uint64_t hash_of_elementwise(Isa isa) {
  Hash hash;
  for (int64_t n : {8, 21, 64}) {
    std::vector<float> x = Source(6).take(n), w = Source(7).take(n), y(x.size());
    rms_norm({isa, nullptr}, x.data(), n, w.data(), 1e-6f, y.data(), n, 1, n);
    hash.add(y);
    axpy_row(isa, 0.3f, x.data(), y.data(), n);
    hash.add(y);
    sigmoid_row(isa, x.data(), y.data(), n);
    hash.add(y);
    silu_mul_row(isa, x.data(), w.data(), y.data(), n);
    hash.add(y);
    softmax_row(isa, x.data(), y.data(), n);
    hash.add(y);
    hash.add(log_sum_exp_row(isa, x.data(), n));
    for (bool interleaved : {false, true}) {
      rope_row(isa, x.data(), 1, n, n / 2 * 2, w.data(), y.data(), interleaved);
      hash.add(x);
    }
    add_in_place({isa, nullptr}, x.data(), w.data(), n);
    hash.add(x);
  }
  return hash.digest();
}

TEST(SameBytes, Linear) { for_each_set(hash_of_linear, 0x8ba45520ca7c42b7); }
TEST(SameBytes, Attention) { for_each_set(hash_of_attention, 0x9ba0332a5ce27bb8); }
TEST(SameBytes, Elementwise) { for_each_set(hash_of_elementwise, 0x696d5f25f5281fc5); }

}  // namespace
}  // namespace fathom
