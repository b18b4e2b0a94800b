// Goal: both forms compute the formula of spec §2.2 / §2.3. Method: the formula in double over the
// cache as it is read back, on every instruction set, for every kind of cache and weight.
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/attention_fixture.h"
#include "tensor/numeric.h"

namespace fathom {
namespace {

using namespace attention_fixture;  // NOLINT: a test's own vocabulary

// softmax(scale q.k) v over positions 0 .. p in double, naive form, without any rounding of
// operands.
std::vector<double> formula(const AttentionShape& shape, const Sequence& sequence,
                            const LinearWeight& kv_b, int64_t p) {
  std::vector<double> o(static_cast<size_t>(shape.n_heads * shape.v_head_dim), 0.0);
  std::vector<float> latent(static_cast<size_t>(shape.kv_lora_rank));
  std::vector<float> rope(static_cast<size_t>(shape.qk_rope_head_dim));
  const int64_t width = shape.qk_nope_head_dim + shape.v_head_dim;
  std::vector<float> weights(static_cast<size_t>(kv_b.n * kv_b.k));
  for (int64_t r = 0; r < kv_b.n; ++r) weight_row(Isa::kRef, kv_b, r, weights.data() + r * kv_b.k);
  for (int64_t h = 0; h < shape.n_heads; ++h) {
    const float* q = sequence.q(p) + h * shape.qk_head_dim();
    std::vector<double> scores;
    std::vector<double> values;
    for (int64_t t = 0; t <= p; ++t) {
      kv_read_row(Isa::kRef, sequence.layout(), sequence.row(t), latent.data(), rope.data());
      double score = 0.0;
      for (int64_t r = 0; r < width; ++r) {
        double sum = 0.0;
        const float* w = weights.data() + (h * width + r) * kv_b.k;
        for (size_t l = 0; l < latent.size(); ++l) {
          sum += static_cast<double>(w[l]) * static_cast<double>(latent[l]);
        }
        if (r < shape.qk_nope_head_dim) {
          score += static_cast<double>(q[r]) * sum;
        } else {
          values.push_back(sum);
        }
      }
      for (int64_t r = 0; r < shape.qk_rope_head_dim; ++r) {
        score += static_cast<double>(q[shape.qk_nope_head_dim + r]) *
                 static_cast<double>(rope[static_cast<size_t>(r)]);
      }
      scores.push_back(score * static_cast<double>(shape.softmax_scale));
    }
    const double max = *std::max_element(scores.begin(), scores.end());
    double total = 0.0;
    for (double& s : scores) total += s = std::exp(s - max);
    for (int64_t t = 0; t <= p; ++t) {
      for (int64_t d = 0; d < shape.v_head_dim; ++d) {
        o[static_cast<size_t>(h * shape.v_head_dim + d)] +=
            scores[static_cast<size_t>(t)] / total *
            values[static_cast<size_t>(t * shape.v_head_dim + d)];
      }
    }
  }
  return o;
}

class AttentionForms : public testing::TestWithParam<KvDtype> {};
INSTANTIATE_TEST_SUITE_P(Kv, AttentionForms,
                         testing::Values(KvDtype::kF32, KvDtype::kBf16, KvDtype::kFp8));

TEST_P(AttentionForms, FollowTheFormula) {
  for (const AttentionShape& shape : {small_shape(), wide_shape()}) {
    const Sequence sequence(shape, GetParam(), 200, 1);
    for (Dtype dtype : {Dtype::kF32, Dtype::kBF16, Dtype::kF8E4M3}) {
      const Weight weight(shape, dtype, 2);
      for (int64_t p : {0, 1, 63, 64, 65, 199}) {
        const std::vector<double> want = formula(shape, sequence, weight.view, p);
        for (Isa isa : available_isas()) {
          for (bool absorbed : {false, true}) {
            const std::vector<float> got =
                run(isa, shape, weight.view, {&sequence, p, 1, absorbed});
            EXPECT_LT(largest_difference(got, want), tolerance(GetParam()))
                << name_of(isa, absorbed, GetParam()) << " position " << p << " weight "
                << dtype_name(dtype);
          }
        }
      }
    }
  }
}

TEST_P(AttentionForms, FollowTheFormulaAcrossSegments) {
  const AttentionShape shape = small_shape();
  const Weight weight(shape, Dtype::kF32, 3);
  const Sequence sequence(shape, GetParam(), 4101, 4);
  for (int64_t p : {2047, 2048, 4100}) {
    const std::vector<double> want = formula(shape, sequence, weight.view, p);
    for (Isa isa : available_isas()) {
      for (bool absorbed : {false, true}) {
        const std::vector<float> got = run(isa, shape, weight.view, {&sequence, p, 1, absorbed});
        EXPECT_LT(largest_difference(got, want), tolerance(GetParam()))
            << name_of(isa, absorbed, GetParam()) << " " << p;
      }
    }
  }
}

TEST(Attention, NaiveEqualsAbsorbedInF32) {
  const AttentionShape shape = wide_shape();
  const Weight weight(shape, Dtype::kF8E4M3, 15);
  const Sequence sequence(shape, KvDtype::kF32, 150, 16);
  for (Isa isa : available_isas()) {
    const std::vector<float> naive = run(isa, shape, weight.view, {&sequence, 0, 150, false});
    const std::vector<float> absorbed = run(isa, shape, weight.view, {&sequence, 0, 150, true});
    EXPECT_LT(largest_difference(naive, {absorbed.begin(), absorbed.end()}),
              tolerance(KvDtype::kF32))
        << isa_name(isa);
    EXPECT_FALSE(same_bytes(naive, absorbed))
        << "two orders: equal bytes would mean that one form is not computed";
  }
}

TEST(KvRows, RoundOnceAndComeBackExactly) {
  for (int64_t rank : {8, 128, 160, 512}) {
    for (KvDtype kv : {KvDtype::kF32, KvDtype::kBf16, KvDtype::kFp8}) {
      const KvLayout layout = {kv, rank, 6};
      std::mt19937 random(17);
      std::normal_distribution<float> normal;
      std::vector<float> latent(static_cast<size_t>(rank)), rope(6), latent_back(latent),
          rope_back(6);
      for (float& v : latent) v = normal(random);
      for (float& v : rope) v = normal(random);
      std::vector<std::byte> first;
      for (Isa isa : available_isas()) {
        std::vector<std::byte> row(static_cast<size_t>(layout.row_bytes()), std::byte{0xaa});
        kv_write_row(isa, layout, latent.data(), rope.data(), row.data());
        kv_read_row(isa, layout, row.data(), latent_back.data(), rope_back.data());
        if (first.empty()) first = row;
        EXPECT_EQ(row, first) << isa_name(isa);
        for (size_t i = 0; i < latent.size(); ++i) {
          float want = latent[i];
          if (kv == KvDtype::kBf16) want = round_to_bf16(latent[i]);
          if (kv == KvDtype::kFp8) {
            float amax = 0.0f;
            for (size_t j = i / 128 * 128; j < std::min(latent.size(), i / 128 * 128 + 128); ++j) {
              amax = std::max(amax, std::fabs(latent[j]));
            }
            const float scale = amax / 448.0f;
            want = e4m3_to_f32(f32_to_e4m3(latent[i] / scale)) * scale;
          }
          EXPECT_EQ(latent_back[i], want) << isa_name(isa) << " rank " << rank << " value " << i;
        }
        for (size_t i = 0; i < rope.size(); ++i) {
          EXPECT_EQ(rope_back[i], kv == KvDtype::kF32 ? rope[i] : round_to_bf16(rope[i]));
        }
      }
    }
  }
  EXPECT_EQ((KvLayout{KvDtype::kFp8, 512, 64}.row_bytes()), 512 + 16 + 128);
  EXPECT_EQ((KvLayout{KvDtype::kBf16, 512, 64}.row_bytes()), 1152);
}

}  // namespace
}  // namespace fathom
