// Rows of inputs made ready and rows of weights as F32, on vectors; equal to the scalar definitions
// of tensor/numeric.h to the bit. Included after linear_body.h.
#pragma once

namespace fathom::FATHOM_ISA_NAMESPACE {
namespace {

// The scale of a tile whose largest magnitude is amax, as fp8_scale.
inline float tile_scale(float amax, bool ue8m0) {
  const float scale = (amax > 1e-4f ? amax : 1e-4f) / 448.0f;
  if (!ue8m0) return scale;
  uint32_t bits = 0;
  __builtin_memcpy(&bits, &scale, 4);
  uint32_t exponent = ((bits >> 23) & 0xffu) + ((bits & 0x7fffffu) != 0 ? 1u : 0u);
  exponent = exponent < 1 ? 1 : exponent > 254 ? 254 : exponent;
  bits = exponent << 23;
  float power = 0.0f;
  __builtin_memcpy(&power, &bits, 4);
  return power;
}

// Vector i of a tile of which n values are there; zeros beyond.
inline F32 load_up_to(const float* p, int64_t n) {
  return n >= kLanes ? load(p) : load(p, first_lanes(n));
}

void prepare_tile(const PrepareRow& args, int64_t k0) {
  constexpr int kVectors = kLinearBlock / kLanes;
  const int64_t count = args.k - k0;
  const bool quantised =
      args.rounding == RowRounding::kE4m3 || args.rounding == RowRounding::kE4m3Ue8m0;
  float scale = 1.0f;
  if (quantised) {
    F32 largest = zero();
    for (int j = 0; j < kVectors; ++j)
      largest = max(abs(load_up_to(args.x + k0 + j * kLanes, count - j * kLanes)), largest);
    scale = tile_scale(reduce_max(largest), args.rounding == RowRounding::kE4m3Ue8m0);
  }
  args.scales[k0 / kLinearBlock] = scale;
  const F32 divisor = set1(scale), inverse = set1(1.0f / scale);
  const bool finite = scale < __builtin_inff();
  for (int j = 0; j < kVectors; ++j) {
    F32 v = load_up_to(args.x + k0 + j * kLanes, count - j * kLanes);
    if (quantised) v = round_e4m3(finite ? quotient(v, divisor, inverse) : div(v, divisor));
    if (args.rounding == RowRounding::kBf16) v = round_bf16(v);
    store(args.out + k0 + j * kLanes, v);
  }
}

template <class W>
void widen_weight_row(const WeightRow& args) {
  constexpr int kVectors = W::kStep / kLanes;
  // Who widens a row often widens the next ones too: so far ahead are some rows of latents.
  constexpr int64_t kAhead = 4096;
  for (int64_t k = 0; k < args.k; k += W::kStep) {
    const int64_t count = smaller(W::kStep, args.k - k);
    prefetch(args.w + k * W::kBytes + kAhead);
    F32 values[kVectors];
    if (count == W::kStep) {
      W::widen(args.w + k * W::kBytes, values);
    } else {
      W::widen_first(args.w + k * W::kBytes, count, values);
    }
    const F32 scale = set1(args.scales == nullptr ? 1.0f : args.scales[k / kLinearBlock]);
    for (int j = 0; j < kVectors && j * kLanes < count; ++j) {
      const F32 v = args.scales == nullptr ? values[j] : mul(values[j], scale);
      if (count - j * kLanes >= kLanes) {
        store(args.out + k + j * kLanes, v);
      } else {
        store(args.out + k + j * kLanes, v, first_lanes(count - j * kLanes));
      }
    }
  }
}

}  // namespace

void prepare_row(const PrepareRow& args) {
  for (int64_t k0 = 0; k0 < args.k_padded; k0 += kLinearBlock) prepare_tile(args, k0);
}

void weight_row(const WeightRow& args) {
  switch (args.w_type) {
    case WeightType::kF32:
      widen_weight_row<WeightF32>(args);
      break;
    case WeightType::kF16:
      widen_weight_row<WeightF16>(args);
      break;
    case WeightType::kBf16:
      widen_weight_row<WeightBf16>(args);
      break;
    case WeightType::kE4m3:
      widen_weight_row<WeightE4m3>(args);
      break;
  }
}

}  // namespace fathom::FATHOM_ISA_NAMESPACE
