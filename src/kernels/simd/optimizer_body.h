// adamw.h against the names of an instruction set's vec_*.h: the same operations as ref, in every
// lane. Tails are masked vectors of the same code.

namespace fathom::FATHOM_ISA_NAMESPACE {

struct AdamWLanes {
  F32 gradient_scale, keep, beta1, rest1, beta2, rest2, step_size, inv_correction2, eps;
};

static inline __attribute__((always_inline)) AdamWLanes lanes_of_factors(const AdamWFactors& f) {
  return {set1(f.gradient_scale),
          set1(f.keep),
          set1(f.beta1),
          set1(f.rest1),
          set1(f.beta2),
          set1(f.rest2),
          set1(f.step_size),
          set1(f.inv_correction2),
          set1(f.eps)};
}

static inline __attribute__((always_inline)) F32 adamw_lanes(const AdamWLanes& f, F32 gradient,
                                                             F32 value, F32& m, F32& v) {
  const F32 g = mul(gradient, f.gradient_scale);
  m = fma(f.beta1, m, mul(f.rest1, g));
  v = fma(f.beta2, v, mul(f.rest2, mul(g, g)));
  const F32 root = add(sqrt(mul(v, f.inv_correction2)), f.eps);
  return sub(mul(value, f.keep), mul(f.step_size, div(m, root)));
}

static void adamw_f32(const AdamWFactors& factors, const float* gradient, float* value, float* m,
                      float* v, int64_t n) {
  const AdamWLanes f = lanes_of_factors(factors);
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask mask = first_lanes(n - i);
    F32 m_lanes = load(m + i, mask);
    F32 v_lanes = load(v + i, mask);
    store(value + i,
          adamw_lanes(f, load(gradient + i, mask), load(value + i, mask), m_lanes, v_lanes), mask);
    store(m + i, m_lanes, mask);
    store(v + i, v_lanes, mask);
  }
}

static void adamw_bf16(const AdamWFactors& factors, const float* gradient, float* value,
                       uint16_t* m, uint16_t* v, int64_t n) {
  const AdamWLanes f = lanes_of_factors(factors);
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask mask = first_lanes(n - i);
    F32 m_lanes = load_bf16(m + i, mask);
    F32 v_lanes = load_bf16(v + i, mask);
    store(value + i,
          adamw_lanes(f, load(gradient + i, mask), load(value + i, mask), m_lanes, v_lanes), mask);
    store_bf16(m + i, m_lanes, mask);
    store_bf16(v + i, v_lanes, mask);
  }
}

static double sum_squares(const float* x, int64_t n) {
  F64Sum sum = f64_zero();
  for (int64_t i = 0; i < n; i += kLanes) {
    const F32 lanes = load(x + i, first_lanes(n - i));
    sum = f64_add(sum, mul(lanes, lanes));
  }
  return f64_reduce(sum);
}

const OptimizerTable kOptimizer = {adamw_f32, adamw_bf16, sum_squares};

}  // namespace fathom::FATHOM_ISA_NAMESPACE
