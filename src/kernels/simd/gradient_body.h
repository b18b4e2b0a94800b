// gradient_table.h against the names of an instruction set's vec_*.h and weights_*.h. Tails are
// masked vectors of the same code; packed operands are padded with zeros.

namespace fathom::FATHOM_ISA_NAMESPACE {
namespace {

inline void rms_norm_backward(const float* x, const float* weight, float eps, const float* dy,
                              float* dx, bool add_to, float* dweight, int64_t n) {
  F32 squares = zero(), products = zero();
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    const F32 v = load(x + i, m);
    squares = fma(v, v, squares);
    products = fma(v, mul(load(weight + i, m), load(dy + i, m)), products);
  }
  const float count = static_cast<float>(n);
  const F32 inv_rms = div(set1(1.0f), sqrt(set1(reduce_add(squares) / count + eps)));
  const F32 slope = mul(mul(inv_rms, inv_rms), mul(inv_rms, set1(reduce_add(products) / count)));
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    const F32 v = load(x + i, m), d = load(dy + i, m);
    store(dweight + i, fma(d, mul(v, inv_rms), load(dweight + i, m)), m);
    const F32 g = fnma(v, slope, mul(inv_rms, mul(load(weight + i, m), d)));
    store(dx + i, add_to ? add(load(dx + i, m), g) : g, m);
  }
}

inline void silu_mul_backward(const float* gate, const float* up, const float* dh, float* dgate,
                              float* dup, int64_t n) {
  const F32 one = set1(1.0f);
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    const F32 g = load(gate + i, m), u = load(up + i, m), d = load(dh + i, m);
    const F32 s = div(one, add(one, exp(negate(g))));
    const F32 slope = mul(s, fma(g, sub(one, s), one));
    store(dup + i, mul(d, mul(g, s)), m);
    store(dgate + i, mul(mul(d, u), slope), m);
  }
}

inline void scale_row(float weight, float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    store(x + i, mul(set1(weight), load(x + i, m)), m);
  }
}

inline float dot(const float* x, const float* y, int64_t n) {
  F32 sum = zero();
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    sum = fma(load(x + i, m), load(y + i, m), sum);
  }
  return reduce_add(sum);
}

inline void exp_scaled(const float* x, float shift, float scale, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    store(y + i, mul(exp(sub(load(x + i, m), set1(shift))), set1(scale)), m);
  }
}

inline void attention_row(const float* s, const float* dp, float softmax_scale, float lse, float d,
                          float* p, float* ds, int64_t n) {
  const F32 scale = set1(softmax_scale);
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    const F32 weight = exp(sub(load(s + i, m), set1(lse)));
    const F32 slope = mul(mul(weight, sub(load(dp + i, m), set1(d))), scale);
    store(p + i, weight, m);
    store(ds + i, slope, m);
  }
}

inline float amax(const float* x, int64_t n) {
  F32 largest = zero();
  for (int64_t i = 0; i < n; i += kLanes)
    largest = max(abs(load(x + i, first_lanes(n - i))), largest);
  return reduce_max(largest);
}

inline void e4m3_codes(const float* x, float scale, uint8_t* codes, int64_t n) {
  const F32 s = set1(scale), inverse = set1(1.0f / scale);
  const bool finite = scale < __builtin_inff();
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    const F32 v = load(x + i, m);
    store_e4m3(codes + i, round_e4m3(finite ? quotient(v, s, inverse) : div(v, s)), m);
  }
}

// The nearest value of six bits of mantissa and exponents from -14 on, ties to even.
inline float e5m6_value(float value) {
  uint32_t bits = 0;
  __builtin_memcpy(&bits, &value, 4);
  const uint32_t sign = bits & 0x80000000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t cut = (magnitude + 0xffffu + ((magnitude >> 17) & 1u)) & ~0x1ffffu;
  const float tiny = (__builtin_fabsf(value) + 8.0f) - 8.0f;  // multiples of 2^-20
  uint32_t tiny_bits = 0;
  __builtin_memcpy(&tiny_bits, &tiny, 4);
  uint32_t out = magnitude < 0x38800000u ? tiny_bits : cut;  // below 2^-14
  out = magnitude >= 0x7f800000u ? magnitude : out;
  out |= sign;
  float rounded = 0;
  __builtin_memcpy(&rounded, &out, 4);
  return rounded;
}

inline void e5m6_codes(const float* x, float scale, uint16_t* codes, int64_t n) {
  const float inverse = 1.0f / scale;  // exact
  float values[kLanes];
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    store(values, mul(load(x + i, m), set1(inverse)));
    for (int64_t j = 0; j < kLanes; ++j) values[j] = e5m6_value(values[j]);
    store_bf16(codes + i, mul(load(values), set1(scale)), m);
  }
}

inline void quantize_columns(float* x, int64_t ldx, int64_t n_t, int64_t n, float* scales) {
  for (int64_t j = 0; j < n; j += kLanes) {
    const Mask m = first_lanes(n - j);
    F32 largest = zero();
    for (int64_t t = 0; t < n_t; ++t) largest = max(abs(load(x + t * ldx + j, m)), largest);
    const F32 scale = div(max(largest, set1(1e-4f)), set1(448.0f));
    const F32 inverse = div(set1(1.0f), scale);
    store(scales + j, scale, m);
    for (int64_t t = 0; t < n_t; ++t)
      store(x + t * ldx + j, round_e4m3(quotient(load(x + t * ldx + j, m), scale, inverse)), m);
  }
}

// ---- outer products: operands as rows of F32, padded to whole vectors

inline void pack_rows(const OuterPack& args) {
  const int64_t width = (args.n + kOuterStep - 1) / kOuterStep * kOuterStep;
  auto* out = static_cast<float*>(args.out);
  for (int64_t t = 0; t < args.n_t; ++t, out += width) {
    const float* x = args.x + t * args.ldx;
    for (int64_t j = 0; j < width; j += kLanes) {
      const F32 v = load(x + j, first_lanes(args.n - j));
      store(out + j, args.bf16 ? round_bf16(v) : v);
    }
  }
}

// One row of operands to a step; other layouts (gradient_avx512.cc) have more.
struct OneRow {
  static int64_t steps(int64_t n_t) { return n_t; }
  static F32 accumulate(F32 a, F32 b, F32 sum) { return fma(a, b, sum); }
};

// A tile of kRows rows by kVectors vectors of the result.
template <class Step, int kRows, int kVectors>
inline void outer_tile(const OuterProduct& args, int64_t i0, int64_t j0) {
  const int64_t left_width = (args.m + kOuterStep - 1) / kOuterStep * kOuterStep;
  const int64_t right_width = (args.n + kOuterStep - 1) / kOuterStep * kOuterStep;
  const float* left = static_cast<const float*>(args.left) + i0;
  const float* right = static_cast<const float*>(args.right) + j0;
  F32 sums[kRows][kVectors];
  FATHOM_UNROLL for (int i = 0; i < kRows; ++i) {
    FATHOM_UNROLL for (int j = 0; j < kVectors; ++j) sums[i][j] = zero();
  }
  const int64_t n_steps = Step::steps(args.n_t);
  for (int64_t step = 0; step < n_steps; ++step, left += left_width, right += right_width) {
    F32 b[kVectors];
    FATHOM_UNROLL for (int j = 0; j < kVectors; ++j) b[j] = load(right + j * kLanes);
    FATHOM_UNROLL for (int i = 0; i < kRows; ++i) {
      const F32 a = set1(left[i]);
      FATHOM_UNROLL for (int j = 0; j < kVectors; ++j) {
        sums[i][j] = Step::accumulate(a, b[j], sums[i][j]);
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    float* c = args.c + (i0 + i - args.m_begin) * args.ldc + (j0 - args.n_begin);
    FATHOM_UNROLL for (int j = 0; j < kVectors; ++j) {
      const int64_t at = j * kLanes;
      const Mask m = first_lanes(args.n_end - j0 - at);
      const F32 before = args.add ? load(c + at, m) : zero();
      F32 after = add(before, sums[i][j]);
      if (args.left_scales != nullptr) {
        const F32 scale = mul(set1(args.left_scales[i0 + i]), load(args.right_scales + j0 + at, m));
        after = fma(sums[i][j], scale, before);
      }
      store(c + at, after, m);
    }
  }
}

template <class Step, int kRows>
inline void outer_rows(const OuterProduct& args, int64_t i0) {
  int64_t j = args.n_begin;
  for (; j + kVecTile * kLanes <= args.n_end; j += kVecTile * kLanes)
    outer_tile<Step, kRows, kVecTile>(args, i0, j);
  for (; j < args.n_end; j += kLanes) outer_tile<Step, kRows, 1>(args, i0, j);
}

template <class Step>
inline void outer_multiply(const OuterProduct& args) {
  int64_t i = args.m_begin;
  for (; i + kRowTile <= args.m_end; i += kRowTile) outer_rows<Step, kRowTile>(args, i);
  for (; i + 2 <= args.m_end; i += 2) outer_rows<Step, 2>(args, i);
  for (; i < args.m_end; ++i) outer_rows<Step, 1>(args, i);
}

constexpr OuterKernels kOuter = {pack_rows, pack_rows, outer_multiply<OneRow>};
constexpr GradientTable kTable = {rms_norm_backward, silu_mul_backward, scale_row, dot,
                                  exp_scaled,        attention_row,     amax,      e4m3_codes,
                                  e5m6_codes,        quantize_columns,  kOuter,    kOuter};

}  // namespace
}  // namespace fathom::FATHOM_ISA_NAMESPACE
