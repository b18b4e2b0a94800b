// Goal: gradients of attention are those of its formula. Method: the formula forward and back in
// double, itself held by finite differences; lengths around the blocks; company and threads change
// no bit.
#include "kernels/attention_backward.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tensor/numeric.h"
#include "tests/support/gradient_testing.h"

namespace fathom {
namespace {

using gradient_testing::expect_close;
using gradient_testing::normal_values;
using gradient_testing::on_every_set;
using gradient_testing::Values;
using Doubles = std::vector<double>;

AttentionShape shape_of(int64_t heads, int64_t nope, int64_t rope, int64_t v) {
  AttentionShape shape;
  shape.n_heads = heads;
  shape.qk_nope_head_dim = nope;
  shape.qk_rope_head_dim = rope;
  shape.v_head_dim = v;
  shape.softmax_scale = 0.3f;
  return shape;
}

// One sequence and its result, in double.
struct Sequence {
  Sequence(const AttentionShape& s, int64_t length, uint32_t seed)
      : shape(s),
        t(length),
        q(normal_values(length * s.n_heads * s.qk_head_dim(), seed)),
        kv(normal_values(length * s.n_heads * (s.qk_nope_head_dim + s.v_head_dim), seed + 1)),
        k_rope(normal_values(length * s.qk_rope_head_dim, seed + 2)),
        d_o(normal_values(length * s.n_heads * s.v_head_dim, seed + 3)) {
    round_all();
    o.resize(d_o.size());
  }
  // The formula must see what BF16 products see.
  void round_all() {
    for (Values* values : {&q, &kv, &k_rope, &d_o}) {
      for (float& v : *values) v = round_to_bf16(v);
    }
  }

  AttentionShape shape;
  int64_t t;
  Values q, kv, k_rope, d_o, o;
};

// Of q, kv and k_rope joined: o, and the gradient of sum(d_o * o).
struct Formula {
  explicit Formula(const Sequence& sequence) : s(sequence) {}
  double query(const Doubles& a, int64_t i, int64_t h, int64_t d) const {
    return a[static_cast<size_t>((i * s.shape.n_heads + h) * s.shape.qk_head_dim() + d)];
  }
  size_t kv_at(int64_t j, int64_t h, int64_t d) const {
    const int64_t width = s.shape.qk_nope_head_dim + s.shape.v_head_dim;
    return s.q.size() + static_cast<size_t>((j * s.shape.n_heads + h) * width + d);
  }
  size_t key_at(int64_t j, int64_t h, int64_t d) const {
    const int64_t nope = s.shape.qk_nope_head_dim;
    return d < nope ? kv_at(j, h, d)
                    : s.q.size() + s.kv.size() +
                          static_cast<size_t>(j * s.shape.qk_rope_head_dim + d - nope);
  }
  Doubles weights(const Doubles& a, int64_t i, int64_t h) const {
    Doubles p;
    double sum = 0;
    for (int64_t j = 0; j <= i; ++j) {
      double score = 0;
      for (int64_t d = 0; d < s.shape.qk_head_dim(); ++d)
        score += query(a, i, h, d) * a[key_at(j, h, d)];
      p.push_back(std::exp(score * static_cast<double>(s.shape.softmax_scale)));
      sum += p.back();
    }
    for (double& v : p) v /= sum;
    return p;
  }
  double d_out(int64_t i, int64_t h, int64_t d) const {
    return static_cast<double>(
        s.d_o[static_cast<size_t>((i * s.shape.n_heads + h) * s.shape.v_head_dim + d)]);
  }
  double output(const Doubles& a, const Doubles& p, int64_t h, int64_t d) const {
    double out = 0;
    for (size_t j = 0; j < p.size(); ++j)
      out += p[j] * a[kv_at(static_cast<int64_t>(j), h, s.shape.qk_nope_head_dim + d)];
    return out;
  }
  double loss(const Doubles& a) const {
    double out = 0;
    for (int64_t i = 0; i < s.t; ++i) {
      for (int64_t h = 0; h < s.shape.n_heads; ++h) {
        const Doubles p = weights(a, i, h);
        for (int64_t d = 0; d < s.shape.v_head_dim; ++d) out += d_out(i, h, d) * output(a, p, h, d);
      }
    }
    return out;
  }
  Doubles gradient(const Doubles& a, Values* o) const {
    Doubles g(a.size());
    const auto scale = static_cast<double>(s.shape.softmax_scale);
    for (int64_t i = 0; i < s.t; ++i) {
      for (int64_t h = 0; h < s.shape.n_heads; ++h) {
        const Doubles p = weights(a, i, h);
        Doubles d_p(p.size());
        double mean = 0;
        for (int64_t j = 0; j <= i; ++j) {
          for (int64_t d = 0; d < s.shape.v_head_dim; ++d) {
            const size_t at = kv_at(j, h, s.shape.qk_nope_head_dim + d);
            d_p[static_cast<size_t>(j)] += d_out(i, h, d) * a[at];
            g[at] += p[static_cast<size_t>(j)] * d_out(i, h, d);
          }
          mean += p[static_cast<size_t>(j)] * d_p[static_cast<size_t>(j)];
        }
        for (int64_t d = 0; o != nullptr && d < s.shape.v_head_dim; ++d)
          (*o)[static_cast<size_t>((i * s.shape.n_heads + h) * s.shape.v_head_dim + d)] =
              static_cast<float>(output(a, p, h, d));
        for (int64_t j = 0; j <= i; ++j) {
          const double d_s =
              p[static_cast<size_t>(j)] * (d_p[static_cast<size_t>(j)] - mean) * scale;
          for (int64_t d = 0; d < s.shape.qk_head_dim(); ++d) {
            g[static_cast<size_t>((i * s.shape.n_heads + h) * s.shape.qk_head_dim() + d)] +=
                d_s * a[key_at(j, h, d)];
            g[key_at(j, h, d)] += d_s * query(a, i, h, d);
          }
        }
      }
    }
    return g;
  }
  const Sequence& s;
};

Doubles arguments(const Sequence& s) {
  Doubles out(s.q.begin(), s.q.end());
  out.insert(out.end(), s.kv.begin(), s.kv.end());
  out.insert(out.end(), s.k_rope.begin(), s.k_rope.end());
  return out;
}

Values run(const Compute& compute, std::span<Sequence* const> sequences, bool bf16) {
  std::vector<Values> outputs;
  std::vector<AttentionBackwardJob> jobs;
  int64_t rows = 0, longest = 0;
  for (const Sequence* s : sequences) {
    outputs.emplace_back(s->q.size() + s->kv.size() + s->k_rope.size(), 7.0f);
    rows += s->t;
    longest = std::max(longest, s->t);
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Sequence& s = *sequences[i];
    float* const out = outputs[i].data();
    jobs.push_back({s.q.data(), s.kv.data(), s.k_rope.data(), s.o.data(), s.d_o.data(), out,
                    out + s.q.size(), out + s.q.size() + s.kv.size(), s.t});
  }
  const AttentionShape& shape = sequences[0]->shape;
  AttentionBackwardWorkspace workspace(shape, rows, longest, compute.pool->n_threads());
  attention_backward(compute, shape, bf16, jobs, workspace);
  Values all;
  for (const Values& values : outputs) all.insert(all.end(), values.begin(), values.end());
  return all;
}

TEST(AttentionBackward, TheFormulaIsItsOwnDerivative) {
  Sequence s(shape_of(2, 3, 2, 4), 5, 1);
  const Formula formula(s);
  Doubles a = arguments(s);
  const Doubles got = formula.gradient(a, nullptr);
  for (size_t i = 0; i < a.size(); ++i) {
    const double before = a[i];
    a[i] = before + 1e-5;
    const double high = formula.loss(a);
    a[i] = before - 1e-5;
    const double low = formula.loss(a);
    a[i] = before;
    EXPECT_NEAR(got[i], (high - low) / 2e-5, 1e-7);
  }
}

void expect_formula(const AttentionShape& shape, int64_t t, bool bf16, double relative) {
  SCOPED_TRACE(t);
  Sequence s(shape, t, 20);
  const Doubles want = Formula(s).gradient(arguments(s), &s.o);
  Sequence* const one = &s;
  on_every_set(
      [&](const Compute& compute) {
        return run(compute, {&one, 1}, bf16);
      },
      [&](const Values& got) { expect_close(got, want, relative); });
}

TEST(AttentionBackward, F32) {
  for (const int64_t t : {1, 2, 63, 64, 65, 130})
    expect_formula(shape_of(2, 16, 8, 12), t, /*bf16=*/false, 2e-6);
  expect_formula(shape_of(3, 5, 2, 7), 20, /*bf16=*/false, 2e-6);
}

// More blocks of keys than scores are kept of.
TEST(AttentionBackward, LongSequences) {
  if (isa_testing::kEmulated) GTEST_SKIP() << "takes minutes under emulation";
  expect_formula(shape_of(1, 2, 2, 2), 66 * 64 + 5, /*bf16=*/false, 2e-6);
}

// p and ds are rounded to BF16: 2^-9 each.
TEST(AttentionBackward, Bf16) {
  for (const int64_t t : {1, 64, 65, 130})
    expect_formula(shape_of(2, 16, 8, 12), t, /*bf16=*/true, 0x1p-8);
  expect_formula(shape_of(2, 32, 16, 32), 70, /*bf16=*/true, 0x1p-8);
}

TEST(AttentionBackward, CompanyChangesNoBit) {
  const AttentionShape shape = shape_of(2, 16, 8, 12);
  Sequence a(shape, 70, 30), b(shape, 33, 40);
  Formula(a).gradient(arguments(a), &a.o);
  Formula(b).gradient(arguments(b), &b.o);
  Pool pool(2);
  const Compute compute = {available_isas().back(), &pool};
  Sequence* const both[] = {&a, &b};
  Values alone = run(compute, {both, 1}, true);
  const Values second = run(compute, {both + 1, 1}, true);
  alone.insert(alone.end(), second.begin(), second.end());
  EXPECT_EQ(run(compute, both, true), alone);
}

}  // namespace
}  // namespace fathom
