// Goal: both forms compute the formula of spec §2.2 / §2.3, and the bytes of a row depend on nothing but its query,
// its position and the cached rows up to it.
// Method: the formula in double over the cache as read back; then laws, bit for bit, on every instruction set.
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tensor/numeric.h"

namespace fathom {
namespace {

constexpr int64_t kMaxRows = 256;
constexpr int64_t kMaxContext = 4608;

struct Case {
  AttentionShape shape;
  KvDtype kv = KvDtype::kF32;
};

AttentionShape small_shape() {
  return {.n_heads = 3, .qk_nope_head_dim = 20, .qk_rope_head_dim = 6, .v_head_dim = 18, .kv_lora_rank = 36,
          .softmax_scale = 0.2f};
}
AttentionShape wide_shape() {  // more than one chunk of units, dims that are whole vectors, FP8 scales for a rest
  return {.n_heads = 14, .qk_nope_head_dim = 32, .qk_rope_head_dim = 16, .v_head_dim = 64, .kv_lora_rank = 160,
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
    memory_.assign(static_cast<size_t>((2 * n_blocks + 1) * layout_.block_bytes()), std::byte{0xff});
    for (int64_t b = 0; b < n_blocks; ++b) {
      blocks_.push_back(memory_.data() + (2 * ((b * 7) % n_blocks) + 1) * layout_.block_bytes());
    }
    if (n_blocks % 7 == 0) {
      for (int64_t b = 0; b < n_blocks; ++b) {
        blocks_[static_cast<size_t>(b)] = memory_.data() + (2 * (n_blocks - 1 - b) + 1) * layout_.block_bytes();
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
    for (int64_t i = 0; i < n_scales; ++i) scales_.push_back((1.0f + 0.1f * static_cast<float>(i % 5)) / 256.0f);
    view.data = dtype == Dtype::kF32 ? static_cast<const void*>(f32_.data())
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
std::vector<float> run(Isa isa, int n_threads, const AttentionShape& shape, const LinearWeight& kv_b,
                       const std::vector<Piece>& pieces) {
  std::vector<float> q;
  std::vector<AttentionJob> jobs;
  int64_t n_rows = 0;
  for (const Piece& piece : pieces) {
    jobs.push_back({piece.sequence->blocks(), piece.first_position, n_rows, piece.n_rows, piece.absorbed});
    const float* begin = piece.sequence->q(piece.first_position);
    q.insert(q.end(), begin, begin + piece.n_rows * piece.sequence->q_width());
    n_rows += piece.n_rows;
  }
  Pool pool(n_threads);
  AttentionWorkspace workspace(shape, pieces[0].sequence->layout(), std::max(n_rows, kMaxRows), kMaxContext, n_threads);
  std::vector<float> o(static_cast<size_t>(n_rows * shape.n_heads * shape.v_head_dim),
                       std::numeric_limits<float>::quiet_NaN());
  attention({isa, &pool}, shape, pieces[0].sequence->layout(), kv_b, jobs, q.data(), o.data(), workspace);
  return o;
}

std::vector<float> run(Isa isa, const AttentionShape& shape, const LinearWeight& kv_b, const Piece& piece) {
  return run(isa, 1, shape, kv_b, {piece});
}

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<float> rows_of(const std::vector<float>& o, const AttentionShape& shape, int64_t begin, int64_t n) {
  const int64_t width = shape.n_heads * shape.v_head_dim;
  return {o.begin() + begin * width, o.begin() + (begin + n) * width};
}

// softmax(scale q.k) v over positions 0 .. p in double, naive form, without any rounding of operands.
std::vector<double> formula(const AttentionShape& shape, const Sequence& sequence, const LinearWeight& kv_b, int64_t p) {
  std::vector<double> o(static_cast<size_t>(shape.n_heads * shape.v_head_dim), 0.0);
  std::vector<float> latent(static_cast<size_t>(shape.kv_lora_rank));
  std::vector<float> rope(static_cast<size_t>(shape.qk_rope_head_dim));
  const int64_t width = shape.qk_nope_head_dim + shape.v_head_dim;
  std::vector<double> expanded(static_cast<size_t>(width));
  for (int64_t h = 0; h < shape.n_heads; ++h) {
    const float* q = sequence.q(p) + h * shape.qk_head_dim();
    std::vector<double> scores;
    std::vector<double> values;
    for (int64_t t = 0; t <= p; ++t) {
      kv_read_row(Isa::kRef, sequence.layout(), sequence.row(t), latent.data(), rope.data());
      double score = 0.0;
      for (int64_t r = 0; r < width; ++r) {
        double sum = 0.0;
        for (int64_t l = 0; l < shape.kv_lora_rank; ++l) {
          sum += static_cast<double>(weight_at(kv_b, h * width + r, l)) * static_cast<double>(latent[static_cast<size_t>(l)]);
        }
        if (r < shape.qk_nope_head_dim) {
          score += static_cast<double>(q[r]) * sum;
        } else {
          values.push_back(sum);
        }
      }
      for (int64_t r = 0; r < shape.qk_rope_head_dim; ++r) {
        score += static_cast<double>(q[shape.qk_nope_head_dim + r]) * static_cast<double>(rope[static_cast<size_t>(r)]);
      }
      scores.push_back(score * static_cast<double>(shape.softmax_scale));
    }
    const double max = *std::max_element(scores.begin(), scores.end());
    double total = 0.0;
    for (double& s : scores) total += s = std::exp(s - max);
    for (int64_t t = 0; t <= p; ++t) {
      for (int64_t d = 0; d < shape.v_head_dim; ++d) {
        o[static_cast<size_t>(h * shape.v_head_dim + d)] +=
            scores[static_cast<size_t>(t)] / total * values[static_cast<size_t>(t * shape.v_head_dim + d)];
      }
    }
  }
  return o;
}

double largest_difference(const std::vector<float>& got, const std::vector<double>& want) {
  double largest = 0.0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(got[i]) - want[i]);
    if (!(difference <= largest)) largest = difference;  // NaN counts
  }
  return largest;
}

std::string name_of(Isa isa, bool absorbed, KvDtype kv) {
  const char* kinds[] = {"f32", "bf16", "fp8"};
  return std::string(isa_name(isa)) + (absorbed ? " absorbed " : " naive ") + kinds[static_cast<int>(kv)];
}

class AttentionForms : public testing::TestWithParam<KvDtype> {};
INSTANTIATE_TEST_SUITE_P(Kv, AttentionForms, testing::Values(KvDtype::kF32, KvDtype::kBf16, KvDtype::kFp8));

// Values and their weighted means are below 4 here (|v| has deviation 0.2 sqrt(rank)). F32: scores carry about
// sqrt(rank) roundings of 2^-24 of sums of size 10, which enter o once: 1e-5 is ten times that. BF16: scores are off
// by 2^-8 sqrt(2 dims) of a typical product, p and v by 2^-9 each: below 3 % of a value of size 1.
double tolerance(KvDtype kv) { return kv == KvDtype::kF32 ? 2e-5 : 0.1; }

TEST_P(AttentionForms, FollowTheFormula) {
  for (const AttentionShape& shape : {small_shape(), wide_shape()}) {
    const Sequence sequence(shape, GetParam(), 200, 1);
    for (Dtype dtype : {Dtype::kF32, Dtype::kBF16, Dtype::kF8E4M3}) {
      const Weight weight(shape, dtype, 2);
      for (int64_t p : {0, 1, 63, 64, 65, 199}) {
        const std::vector<double> want = formula(shape, sequence, weight.view, p);
        for (Isa isa : available_isas()) {
          for (bool absorbed : {false, true}) {
            const std::vector<float> got = run(isa, shape, weight.view, {&sequence, p, 1, absorbed});
            EXPECT_LT(largest_difference(got, want), tolerance(GetParam()))
                << name_of(isa, absorbed, GetParam()) << " position " << p << " weight " << dtype_name(dtype);
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
        EXPECT_LT(largest_difference(got, want), tolerance(GetParam())) << name_of(isa, absorbed, GetParam()) << " " << p;
      }
    }
  }
}

// The reference for the laws: every row in a call of its own, one thread.
std::vector<float> one_by_one(Isa isa, const AttentionShape& shape, const LinearWeight& kv_b, const Piece& piece) {
  std::vector<float> o;
  for (int64_t i = 0; i < piece.n_rows; ++i) {
    const std::vector<float> row = run(isa, shape, kv_b, {piece.sequence, piece.first_position + i, 1, piece.absorbed});
    o.insert(o.end(), row.begin(), row.end());
  }
  return o;
}

TEST_P(AttentionForms, ChunksOfAPromptAreInvisible) {
  const AttentionShape shape = small_shape();
  const Weight weight(shape, Dtype::kBF16, 5);
  const Sequence sequence(shape, GetParam(), 200, 6);
  for (Isa isa : available_isas()) {
    for (bool absorbed : {false, true}) {
      const std::vector<float> whole = run(isa, shape, weight.view, {&sequence, 0, 200, absorbed});
      for (int64_t chunk : {1, 7, 64}) {
        std::vector<float> o;
        for (int64_t p = 0; p < 200; p += chunk) {
          const std::vector<float> part =
              run(isa, shape, weight.view, {&sequence, p, std::min(chunk, 200 - p), absorbed});
          o.insert(o.end(), part.begin(), part.end());
        }
        EXPECT_TRUE(same_bytes(o, whole)) << name_of(isa, absorbed, GetParam()) << " in chunks of " << chunk;
      }
    }
  }
}

TEST_P(AttentionForms, NeighboursAndThreadsAreInvisible) {
  const AttentionShape shape = wide_shape();
  const Weight weight(shape, Dtype::kF8E4M3, 7);
  const Sequence a(shape, GetParam(), 4200, 8);
  const Sequence b(shape, GetParam(), 130, 9);
  const Sequence c(shape, GetParam(), 64, 10);
  for (Isa isa : available_isas()) {
    if (isa == Isa::kRef) continue;  // too slow at this depth; the other laws cover it
    const std::vector<Piece> pieces = {{&a, 4095, 3, false}, {&b, 0, 130, true}, {&a, 2047, 2, true}, {&c, 0, 64, false},
                                       {&a, 4190, 10, true}};
    const std::vector<float> together = run(isa, 1, shape, weight.view, pieces);
    for (int n_threads : {2, 3}) {
      EXPECT_TRUE(same_bytes(run(isa, n_threads, shape, weight.view, pieces), together))
          << isa_name(isa) << " with " << n_threads << " threads";
    }
    int64_t row = 0;
    for (const Piece& piece : pieces) {
      EXPECT_TRUE(same_bytes(rows_of(together, shape, row, piece.n_rows), one_by_one(isa, shape, weight.view, piece)))
          << name_of(isa, piece.absorbed, GetParam()) << " position " << piece.first_position;
      row += piece.n_rows;
    }
  }
}

TEST_P(AttentionForms, ThreadsShareOneLongQuery) {
  const AttentionShape shape = small_shape();
  const Weight weight(shape, Dtype::kF32, 11);
  const Sequence sequence(shape, GetParam(), 4101, 12);
  for (Isa isa : available_isas()) {
    for (int64_t p : {2046, 2047, 2048, 4100}) {
      const std::vector<float> alone = run(isa, 1, shape, weight.view, {{&sequence, p, 1, true}});
      EXPECT_TRUE(same_bytes(run(isa, 3, shape, weight.view, {{&sequence, p, 1, true}}), alone)) << isa_name(isa) << p;
    }
  }
}

// Rows after a row's position hold NaN (unwritten memory), and so do the neighbours' rows in the same block and call.
TEST_P(AttentionForms, RowsPastThePositionAreNeverRead) {
  const AttentionShape shape = small_shape();
  const Weight weight(shape, Dtype::kF32, 13);
  const Sequence full(shape, GetParam(), 128, 14);
  for (int64_t n : {1, 2, 37, 64, 65, 100}) {
    Sequence cut(shape, GetParam(), 128, 14);
    for (int64_t p = n; p < 128; ++p) {
      std::memset(const_cast<std::byte*>(cut.row(p)), 0xff, static_cast<size_t>(cut.layout().row_bytes()));
    }
    for (Isa isa : available_isas()) {
      for (bool absorbed : {false, true}) {
        const std::vector<float> want = run(isa, shape, weight.view, {&full, n - 1, 1, absorbed});
        EXPECT_TRUE(same_bytes(run(isa, shape, weight.view, {&cut, n - 1, 1, absorbed}), want))
            << name_of(isa, absorbed, GetParam()) << " " << n;
        // A call that also computes the rows of NaN.
        const std::vector<float> chunk = run(isa, shape, weight.view, {&cut, 0, 128, absorbed});
        EXPECT_TRUE(same_bytes(rows_of(chunk, shape, n - 1, 1), want)) << name_of(isa, absorbed, GetParam()) << " " << n;
        EXPECT_TRUE(std::isnan(chunk.back()));
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
    EXPECT_LT(largest_difference(naive, {absorbed.begin(), absorbed.end()}), tolerance(KvDtype::kF32)) << isa_name(isa);
    EXPECT_FALSE(same_bytes(naive, absorbed)) << "two orders: equal bytes would mean that one form is not computed";
  }
}

TEST(KvRows, RoundOnceAndComeBackExactly) {
  for (int64_t rank : {8, 128, 160, 512}) {
    for (KvDtype kv : {KvDtype::kF32, KvDtype::kBf16, KvDtype::kFp8}) {
      const KvLayout layout = {kv, rank, 6};
      std::mt19937 random(17);
      std::normal_distribution<float> normal;
      std::vector<float> latent(static_cast<size_t>(rank)), rope(6), latent_back(latent), rope_back(6);
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
