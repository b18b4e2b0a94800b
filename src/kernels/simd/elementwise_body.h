// elementwise.h against the names of an instruction set's vec_*.h. Tails are masked vectors of the
// same code. Sums: vector i of a row adds to accumulator lane by lane, vectors ascending, one
// horizontal sum at the end.

namespace fathom::FATHOM_ISA_NAMESPACE {

static float lowest() { return -__builtin_inff(); }

static void rms_norm_row(const float* x, const float* weight, float eps, float* y, int64_t n) {
  F32 sum = zero();
  for (int64_t i = 0; i < n; i += kLanes) {
    const F32 v = load(x + i, first_lanes(n - i));
    sum = fma(v, v, sum);
  }
  const float mean = reduce_add(sum) / static_cast<float>(n) + eps;
  const F32 inv_rms = div(set1(1.0f), sqrt(set1(mean)));
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    store(y + i, mul(mul(load(x + i, m), inv_rms), load(weight + i, m)), m);
  }
}

static void add_row(float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    store(x + i, add(load(x + i, m), load(y + i, m)), m);
  }
}

static void axpy(float weight, const float* x, float* y, int64_t n) {
  const F32 w = set1(weight);
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    store(y + i, fma(w, load(x + i, m), load(y + i, m)), m);
  }
}

static void rope(float* x, int64_t dim, const float* cos, const float* sin, bool interleaved) {
  const int64_t half = dim / 2;
  if (interleaved) {
    for (int64_t i = 0; i < dim; i += kLanes) {
      const Mask m = first_lanes(dim - i);
      const F32 c = load_twice(cos + i / 2, half - i / 2);
      const F32 s = load_twice(sin + i / 2, half - i / 2);
      const F32 v = load(x + i, m);
      store(x + i, sub_add(mul(v, c), mul(swap_pairs(v), s)), m);
    }
    return;
  }
  for (int64_t j = 0; j < half; j += kLanes) {
    const Mask m = first_lanes(half - j);
    const F32 c = load(cos + j, m);
    const F32 s = load(sin + j, m);
    const F32 a = load(x + j, m);
    const F32 b = load(x + half + j, m);
    store(x + j, sub(mul(a, c), mul(b, s)), m);
    store(x + half + j, add(mul(a, s), mul(b, c)), m);
  }
}

static inline __attribute__((always_inline)) F32 sigmoid_of(F32 x) {
  return div(set1(1.0f), add(set1(1.0f), exp(negate(x))));
}

static void sigmoid(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    store(y + i, sigmoid_of(load(x + i, m)), m);
  }
}

static void silu_mul(const float* gate, const float* up, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    const F32 g = load(gate + i, m);
    store(y + i, mul(mul(g, sigmoid_of(g)), load(up + i, m)), m);
  }
}

static float max_of(const float* x, int64_t n) {
  F32 max_lanes = set1(lowest());
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    max_lanes = max(select(m, load(x + i, m), max_lanes), max_lanes);
  }
  return reduce_max(max_lanes);
}

static void softmax(const float* x, float* y, int64_t n) {
  const F32 largest = set1(max_of(x, n));
  F32 sum = zero();
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    const F32 e = exp(sub(load(x + i, m), largest));
    store(y + i, e, m);
    sum = add(sum, select(m, e, zero()));
  }
  const F32 total = set1(reduce_add(sum));
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    store(y + i, div(load(y + i, m), total), m);
  }
}

static double sum_exp(const float* x, int64_t n, float* largest) {
  *largest = max_of(x, n);
  const F32 shift = set1(*largest);
  F64Sum sum = f64_zero();
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask m = first_lanes(n - i);
    sum = f64_add(sum, select(m, exp(sub(load(x + i, m), shift)), zero()));
  }
  return f64_reduce(sum);
}

const ElementwiseTable kElementwise = {rms_norm_row, add_row,  axpy,    rope,
                                       sigmoid,      silu_mul, softmax, sum_exp};

}  // namespace fathom::FATHOM_ISA_NAMESPACE
