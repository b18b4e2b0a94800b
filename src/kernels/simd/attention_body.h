// attention_args.h against the names of an instruction set's vec_*.h. The order of every sum is
// that of one row alone:
//   score   lanes along the keys; one chain of fma (dot_pairs) over the units, ascending, then *
//   softmax_scale l       l = fma(l, correction, sum of p): vectors of p added as a tree of
//   neighbours, one horizontal sum o       lanes along d; o * correction, then one chain of fma
//   (dot_pairs) over the keys, ascending
// Tiles of kRowTile rows and chunks of units only decide what stays in registers and in the nearest
// cache.

namespace fathom::FATHOM_ISA_NAMESPACE {

static constexpr int64_t kQueryBatch = 48;  // scores of this many queries stay in the L1 cache
static constexpr int64_t kUnitChunk = 64;   // with this many rows of packed keys
static constexpr int kBlockVectors = static_cast<int>(kBlockKeys / kLanes);

template <bool kPairs>
FATHOM_INLINE F32 multiply_add(F32 acc, F32 a, F32 b) {
  if constexpr (kPairs) return dot_pairs(acc, a, b);
  return fma(a, b, acc);
}

// Units [0, n_units) of R queries against all keys of the block, added to scores [R, 64] (or to
// zero if first).
template <bool kPairs, int R>
FATHOM_INLINE void score_tile(const float* q, int64_t q_stride, const float* keys, int64_t n_units,
                              bool first, float* scores) {
  for (int64_t j = 0; j < kBlockKeys; j += kVecTile * kLanes) {
    F32 acc[R][kVecTile];
    FATHOM_UNROLL
    for (int r = 0; r < R; ++r) {
      FATHOM_UNROLL
      for (int v = 0; v < kVecTile; ++v)
        acc[r][v] = first ? zero() : load(scores + r * kBlockKeys + j + v * kLanes);
    }
    for (int64_t u = 0; u < n_units; ++u) {
      F32 k[kVecTile];
      FATHOM_UNROLL
      for (int v = 0; v < kVecTile; ++v) k[v] = load(keys + u * kBlockKeys + j + v * kLanes);
      FATHOM_UNROLL
      for (int r = 0; r < R; ++r) {
        const F32 x = set1(q[r * q_stride + u]);
        FATHOM_UNROLL
        for (int v = 0; v < kVecTile; ++v) acc[r][v] = multiply_add<kPairs>(acc[r][v], x, k[v]);
      }
    }
    FATHOM_UNROLL
    for (int r = 0; r < R; ++r) {
      FATHOM_UNROLL
      for (int v = 0; v < kVecTile; ++v) store(scores + r * kBlockKeys + j + v * kLanes, acc[r][v]);
    }
  }
}

// Scores [64] of one query become p, in place (pairs: BF16 in the first half). Returns the
// correction of o.
template <bool kPairs>
FATHOM_INLINE float softmax_block(float* scores, int64_t n_keys, float scale, float* m, float* l) {
  const F32 none = set1(-__builtin_inff());
  F32 s[kBlockVectors];
  F32 largest = none;
  FATHOM_UNROLL
  for (int v = 0; v < kBlockVectors; ++v) {
    const F32 scaled = mul(load(scores + v * kLanes), set1(scale));
    s[v] = select(first_lanes(n_keys - v * kLanes), scaled, none);
    largest = max(s[v], largest);
  }
  const float block_max = reduce_max(largest);
  const float m_new = block_max > *m ? block_max : *m;
  float correction_lanes[kLanes];
  store(correction_lanes, exp(set1(*m - m_new)));
  const F32 shift = set1(m_new);
  FATHOM_UNROLL
  for (int v = 0; v < kBlockVectors; ++v) {
    // Not exp of the excluded lanes: where m_new is NaN or infinite they must still be zero.
    s[v] = select(first_lanes(n_keys - v * kLanes), exp(sub(s[v], shift)), zero());
    if constexpr (kPairs) {
      store_bf16(reinterpret_cast<uint16_t*>(scores) + v * kLanes, s[v], first_lanes(kLanes));
    } else {
      store(scores + v * kLanes, s[v]);
    }
  }
  FATHOM_UNROLL
  for (int width = 1; width < kBlockVectors; width *= 2) {
    FATHOM_UNROLL
    for (int v = 0; v < kBlockVectors; v += 2 * width) s[v] = add(s[v], s[v + width]);
  }
  const float correction = correction_lanes[0];
  *l = __builtin_fmaf(*l, correction, reduce_add(s[0]));
  *m = m_new;
  return correction;
}

// Steps [begin, end) of R rows over one chunk of kVecTile vectors of d.
struct ValueTile {
  const float* p;  // [R] rows
  int64_t p_stride;
  const float* values;
  int64_t value_stride;
  int64_t begin;
  int64_t end;
  const float* correction;  // [R] or null
  float* o;
  int64_t o_stride;
};

// kMasked: the chunk reaches beyond dims. kHalf: the steps have only their lower key.
template <bool kPairs, int R, bool kMasked, bool kHalf>
FATHOM_INLINE void value_tile(const ValueTile& t, int64_t d0, int64_t dims) {
  Mask mask[kVecTile];
  if constexpr (kMasked) {
    FATHOM_UNROLL
    for (int v = 0; v < kVecTile; ++v) mask[v] = first_lanes(dims - d0 - v * kLanes);
  }
  const auto load_tile = [&](const float* row, int v) __attribute__((always_inline)) {
    if constexpr (kMasked) return load(row + v * kLanes, mask[v]);
    return load(row + v * kLanes);
  };
  F32 acc[R][kVecTile];
  FATHOM_UNROLL
  for (int r = 0; r < R; ++r) {
    FATHOM_UNROLL
    for (int v = 0; v < kVecTile; ++v) {
      acc[r][v] = load_tile(t.o + r * t.o_stride + d0, v);
      if (t.correction != nullptr) acc[r][v] = mul(acc[r][v], set1(t.correction[r]));
    }
  }
  for (int64_t s = t.begin; s < t.end; ++s) {
    F32 value[kVecTile];
    FATHOM_UNROLL
    for (int v = 0; v < kVecTile; ++v) {
      value[v] = load_tile(t.values + s * t.value_stride + d0, v);
      if constexpr (kHalf) value[v] = low_of_pairs(value[v]);
    }
    FATHOM_UNROLL
    for (int r = 0; r < R; ++r) {
      const F32 x = set1(t.p[r * t.p_stride + s]);
      FATHOM_UNROLL
      for (int v = 0; v < kVecTile; ++v) acc[r][v] = multiply_add<kPairs>(acc[r][v], x, value[v]);
    }
  }
  FATHOM_UNROLL
  for (int r = 0; r < R; ++r) {
    FATHOM_UNROLL
    for (int v = 0; v < kVecTile; ++v) {
      if constexpr (kMasked) {
        store(t.o + r * t.o_stride + d0 + v * kLanes, acc[r][v], mask[v]);
      } else {
        store(t.o + r * t.o_stride + d0 + v * kLanes, acc[r][v]);
      }
    }
  }
}

template <bool kPairs, int R, bool kHalf>
static void value_steps(const ValueTile& t, int64_t d0, int64_t dims) {
  if (d0 + kVecTile * kLanes <= dims) {
    value_tile<kPairs, R, false, kHalf>(t, d0, dims);
  } else {
    value_tile<kPairs, R, true, kHalf>(t, d0, dims);
  }
}

FATHOM_INLINE int64_t count_of(const AttendArgs& args, int64_t i) {
  const int64_t count = args.first_count + i * args.count_step;
  return count < 0 ? 0 : count > kBlockKeys ? kBlockKeys : count;
}

// The values of R queries from i on: the steps that all of them see together, what is left row by
// row.
template <bool kPairs, int R>
FATHOM_INLINE void value_rows(const AttendArgs& args, int64_t i, const float* p,
                              const float* correction, int64_t d0) {
  constexpr int64_t kKeysPerStep = kPairs ? 2 : 1;
  const int64_t common = count_of(args, i) / kKeysPerStep;  // counts ascend
  ValueTile tile = {p,
                    kBlockKeys,
                    args.values,
                    args.value_stride,
                    0,
                    common,
                    correction,
                    args.o + i * args.o_stride,
                    args.o_stride};
  value_steps<kPairs, R, false>(tile, d0, args.v_dims);
  tile.correction = nullptr;
  for (int r = 0; r < R; ++r) {
    const int64_t count = count_of(args, i + r);
    tile.p = p + r * kBlockKeys;
    tile.o = args.o + (i + r) * args.o_stride;
    tile.begin = common;
    tile.end = count / kKeysPerStep;
    if (tile.begin < tile.end) value_steps<kPairs, 1, false>(tile, d0, args.v_dims);
    if (count % kKeysPerStep != 0) {
      tile.begin = tile.end;
      tile.end = tile.begin + 1;
      value_steps<kPairs, 1, true>(tile, d0, args.v_dims);
    }
  }
}

template <bool kPairs>
static void attend_batch(const AttendArgs& args, int64_t begin, int64_t end) {
  alignas(64) float scores[kQueryBatch * kBlockKeys];
  float correction[kQueryBatch];
  const int64_t n = end - begin;
  for (int64_t u = 0; u < args.q_units; u += kUnitChunk) {
    const int64_t n_units = args.q_units - u < kUnitChunk ? args.q_units - u : kUnitChunk;
    const float* q = args.q + begin * args.q_stride + u;
    const float* keys = args.keys + u * kBlockKeys;
    int64_t i = 0;
    for (; i + kRowTile <= n; i += kRowTile) {
      score_tile<kPairs, kRowTile>(q + i * args.q_stride, args.q_stride, keys, n_units, u == 0,
                                   scores + i * kBlockKeys);
    }
    for (; i < n; ++i) {
      score_tile<kPairs, 1>(q + i * args.q_stride, args.q_stride, keys, n_units, u == 0,
                            scores + i * kBlockKeys);
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    correction[i] =
        softmax_block<kPairs>(scores + i * kBlockKeys, count_of(args, begin + i),
                              args.softmax_scale, args.m + begin + i, args.l + begin + i);
  }
  for (int64_t d = 0; d < args.v_dims; d += kVecTile * kLanes) {
    int64_t i = 0;
    for (; i + kRowTile <= n; i += kRowTile) {
      value_rows<kPairs, kRowTile>(args, begin + i, scores + i * kBlockKeys, correction + i, d);
    }
    for (; i < n; ++i)
      value_rows<kPairs, 1>(args, begin + i, scores + i * kBlockKeys, correction + i, d);
  }
}

static void attend(const AttendArgs& args) {
  int64_t begin = 0;
  while (begin < args.n_queries && count_of(args, begin) == 0) ++begin;
  for (; begin < args.n_queries; begin += kQueryBatch) {
    const int64_t end = begin + kQueryBatch < args.n_queries ? begin + kQueryBatch : args.n_queries;
    if (args.pairs) {
      attend_batch<true>(args, begin, end);
    } else {
      attend_batch<false>(args, begin, end);
    }
  }
}

static float exp_of(float x) {
  float lanes[kLanes];
  store(lanes, exp(set1(x)));
  return lanes[0];
}

static void merge(float* m, float* l, float* o, float m2, float l2, const float* o2, int64_t dims) {
  const float m_new = m2 > *m ? m2 : *m;
  const float c1 = exp_of(*m - m_new);
  const float c2 = exp_of(m2 - m_new);
  *m = m_new;
  *l = __builtin_fmaf(*l, c1, l2 * c2);
  for (int64_t d = 0; d < dims; d += kLanes) {
    const Mask mask = first_lanes(dims - d);
    store(o + d, fma(load(o + d, mask), set1(c1), mul(load(o2 + d, mask), set1(c2))), mask);
  }
}

static void finish(const float* o, float l, float* y, int64_t dims) {
  for (int64_t d = 0; d < dims; d += kLanes) {
    const Mask mask = first_lanes(dims - d);
    store(y + d, div(load(o + d, mask), set1(l)), mask);
  }
}

static void accumulate(const AccumulateArgs& args) {
  for (int64_t d = 0; d < args.dims; d += kVecTile * kLanes) {
    ValueTile tile = {args.x,       args.x_stride, args.w, args.w_stride, 0,
                      args.n_steps, nullptr,       args.y, args.y_stride};
    int64_t i = 0;
    for (; i + kRowTile <= args.n_rows; i += kRowTile) {
      tile.p = args.x + i * args.x_stride;
      tile.o = args.y + i * args.y_stride;
      value_steps<false, kRowTile, false>(tile, d, args.dims);
    }
    for (; i < args.n_rows; ++i) {
      tile.p = args.x + i * args.x_stride;
      tile.o = args.y + i * args.y_stride;
      value_steps<false, 1, false>(tile, d, args.dims);
    }
  }
}

static void dots(const float* w, int64_t w_stride, int64_t n, const float* x, int64_t dims,
                 float* y) {
  constexpr int kWeights = 4;
  int64_t j = 0;
  for (; j + kWeights <= n; j += kWeights) {
    F32 acc[kWeights];
    FATHOM_UNROLL
    for (int i = 0; i < kWeights; ++i) acc[i] = zero();
    for (int64_t d = 0; d < dims; d += kLanes) {
      const Mask mask = first_lanes(dims - d);
      const F32 v = load(x + d, mask);
      FATHOM_UNROLL
      for (int i = 0; i < kWeights; ++i)
        acc[i] = fma(load(w + (j + i) * w_stride + d, mask), v, acc[i]);
    }
    FATHOM_UNROLL
    for (int i = 0; i < kWeights; ++i) y[j + i] = reduce_add(acc[i]);
  }
  for (; j < n; ++j) {
    F32 acc = zero();
    for (int64_t d = 0; d < dims; d += kLanes) {
      const Mask mask = first_lanes(dims - d);
      acc = fma(load(w + j * w_stride + d, mask), load(x + d, mask), acc);
    }
    y[j] = reduce_add(acc);
  }
}

static void transpose(const float* rows, int64_t row_stride, int64_t n_rows, int64_t n_units,
                      float* out) {
  for (int64_t u = 0; u < n_units; u += kLanes) {
    const Mask mask = first_lanes(n_units - u);
    for (int64_t j = 0; j < kBlockKeys; j += kLanes) {
      F32 tile[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) {
        tile[i] = j + i < n_rows ? load(rows + (j + i) * row_stride + u, mask) : zero();
      }
      transpose_lanes(tile);
      for (int64_t i = 0; i < kLanes && u + i < n_units; ++i)
        store(out + (u + i) * kBlockKeys + j, tile[i]);
    }
  }
}

static void interleave(const uint16_t* rows, int64_t row_stride, int64_t n_rows, int64_t n,
                       float* out) {
  for (int64_t j = 0; j < kBlockKeys; j += 2) {
    const uint16_t* low = rows + j * row_stride;
    const uint16_t* high = j + 1 < n_rows ? low + row_stride : nullptr;
    for (int64_t d = 0; d < n; d += kLanes) {
      const Mask mask = first_lanes(n - d);
      const F32 pairs =
          j < n_rows ? make_pairs(low + d, high == nullptr ? nullptr : high + d, mask) : zero();
      store(out + j / 2 * n + d, pairs, mask);
    }
  }
}

static void to_bf16(const float* x, uint16_t* y, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask mask = first_lanes(n - i);
    store_bf16(y + i, load(x + i, mask), mask);
  }
}

static void from_bf16(const uint16_t* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask mask = first_lanes(n - i);
    store(y + i, load_bf16(x + i, mask), mask);
  }
}

static void from_e4m3(const uint8_t* x, const char* scales, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Mask mask = first_lanes(n - i);
    float scale;
    __builtin_memcpy(&scale, scales + i / 128 * 4, sizeof scale);
    store(y + i, mul(load_e4m3(x + i, mask), set1(scale)), mask);
  }
}

static constexpr AttentionTable kVectorAttention = {
    attend, merge, finish, accumulate, dots, transpose, interleave, to_bf16, from_bf16, from_e4m3};

}  // namespace fathom::FATHOM_ISA_NAMESPACE
