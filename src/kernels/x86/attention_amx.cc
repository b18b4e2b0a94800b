// Attention on AMX tiles where operands are BF16 (caches in BF16 or FP8): 16 or 32 queries against
// the 64 keys of a block. Scores: q is A, the block's keys [units, 64] are B as they lie. Sums of
// values: p is A, the pairs of keys [32, v_dims] are B. F32 operands, and everything around, are
// avx512's.
//
// The order of a row: scores in products of 32 dimensions (tiles_amx.h), then softmax as avx512;
// o = o * correction, then two products of 32 keys, those the row does not see with p = 0. A value
// that is no number would spoil a row that must not see it, so a block with such values is taken
// row by row with a copy in which the unseen keys are zero.
#include "kernels/attention_args.h"
#include "kernels/x86/tiles_amx.h"

// The body's functions once more, under this file's instruction set.
#undef FATHOM_ISA_NAMESPACE
#define FATHOM_ISA_NAMESPACE amx
namespace fathom::amx {
using namespace avx512;
}
#include "kernels/simd/attention_body.h"

namespace fathom::amx {
namespace {

constexpr int64_t kTileUnits = 16;
constexpr int64_t kGroup = 32;  // queries of two tiles

// What a group of at most 32 queries works on; rows of scores are 64 floats.
struct Group {
  const AttendArgs& args;
  int64_t begin = 0;
  int64_t n = 0;
  float* scores = nullptr;
  const float* correction = nullptr;
};

// Sums of one step: two tiles of B by QT tiles of A, C as [QT][2].
template <int QT>
FATHOM_INLINE void multiply_tiles(const float* a, int64_t a_stride, const float* b,
                                  int64_t b_stride) {
  _tile_loadd(6, b, b_stride * 4);
  _tile_loadd(7, b + 16, b_stride * 4);
  _tile_loadd(4, a, a_stride * 4);
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  if constexpr (QT > 1) {
    _tile_loadd(5, a + 16 * a_stride, a_stride * 4);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

template <int QT>
FATHOM_INLINE void store_tiles(float* c, int64_t stride) {
  _tile_stored(0, c, stride * 4);
  _tile_stored(1, c + 16, stride * 4);
  if constexpr (QT > 1) {
    _tile_stored(2, c + 16 * stride, stride * 4);
    _tile_stored(3, c + 16 * stride + 16, stride * 4);
  }
}

template <int QT>
FATHOM_INLINE void load_tiles(const float* c, int64_t stride) {
  _tile_loadd(0, c, stride * 4);
  _tile_loadd(1, c + 16, stride * 4);
  if constexpr (QT > 1) {
    _tile_loadd(2, c + 16 * stride, stride * 4);
    _tile_loadd(3, c + 16 * stride + 16, stride * 4);
  }
}

// The units beyond the last whole tile, with zeros up to one.
struct UnitTail {
  alignas(64) float q[kGroup * kTileUnits];
  alignas(64) float keys[kTileUnits * kBlockKeys];
};
void make_tail(const Group& g, int64_t first, UnitTail& tail) {
  const int64_t n = g.args.q_units - first;
  const Mask mask = first_lanes(n);
  for (int64_t i = 0; i < g.n; ++i)
    store(tail.q + i * kTileUnits, load(g.args.q + (g.begin + i) * g.args.q_stride + first, mask));
  for (int64_t u = 0; u < kTileUnits; ++u) {
    for (int64_t j = 0; j < kBlockKeys; j += kLanes) {
      store(tail.keys + u * kBlockKeys + j,
            u < n ? load(g.args.keys + (first + u) * kBlockKeys + j) : zero());
    }
  }
}

template <int QT>
void score_group(const Group& g) {
  const AttendArgs& args = g.args;
  const int64_t whole = args.q_units / kTileUnits * kTileUnits;
  UnitTail tail;
  if (whole < args.q_units) make_tail(g, whole, tail);
  const float* q = args.q + g.begin * args.q_stride;
  memory_is_read();
  for (int64_t j = 0; j < kBlockKeys; j += 32) {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (QT > 1) {
      _tile_zero(2);
      _tile_zero(3);
    }
    for (int64_t u = 0; u < whole; u += kTileUnits)
      multiply_tiles<QT>(q + u, args.q_stride, args.keys + u * kBlockKeys + j, kBlockKeys);
    if (whole < args.q_units) multiply_tiles<QT>(tail.q, kTileUnits, tail.keys + j, kBlockKeys);
    store_tiles<QT>(g.scores + j, kBlockKeys);
  }
}

void correct_row(float* o, float correction, int64_t dims) {
  if (correction == 1.0f) return;
  for (int64_t d = 0; d < dims; d += kLanes) {
    const Mask mask = first_lanes(dims - d);
    store(o + d, mul(load(o + d, mask), set1(correction)), mask);
  }
}

// 32 dimensions of o from d on, where they lie or in a copy.
template <int QT>
FATHOM_INLINE void value_pass(const Group& g, const float* values, int64_t value_stride, float* o,
                              int64_t o_stride) {
  memory_is_read();
  load_tiles<QT>(o, o_stride);
  multiply_tiles<QT>(g.scores, kBlockKeys, values, value_stride);
  multiply_tiles<QT>(g.scores + 16, kBlockKeys, values + 16 * value_stride, value_stride);
  store_tiles<QT>(o, o_stride);
}

template <int QT>
void value_group(const Group& g, const float* values, int64_t value_stride) {
  const AttendArgs& args = g.args;
  float* o = args.o + g.begin * args.o_stride;
  for (int64_t i = 0; i < g.n; ++i)
    correct_row(o + i * args.o_stride, g.correction[i], args.v_dims);
  const int64_t whole = args.v_dims / 32 * 32;
  for (int64_t d = 0; d < whole; d += 32)
    value_pass<QT>(g, values + d, value_stride, o + d, args.o_stride);
  if (whole == args.v_dims) return;
  // The rest of the dimensions, with zeros up to two tiles.
  alignas(64) float rest_values[32 * 32];
  alignas(64) float rest_o[kGroup * 32];
  const Mask low = first_lanes(args.v_dims - whole), high = first_lanes(args.v_dims - whole - 16);
  for (int64_t j = 0; j < 32; ++j) {
    store(rest_values + j * 32, load(values + j * value_stride + whole, low));
    store(rest_values + j * 32 + 16, load(values + j * value_stride + whole + 16, high));
  }
  for (int64_t i = 0; i < g.n; ++i) {
    store(rest_o + i * 32, load(o + i * args.o_stride + whole, low));
    store(rest_o + i * 32 + 16, load(o + i * args.o_stride + whole + 16, high));
  }
  value_pass<QT>(g, rest_values, 32, rest_o, 32);
  for (int64_t i = 0; i < g.n; ++i) {
    store(o + i * args.o_stride + whole, load(rest_o + i * 32), low);
    store(o + i * args.o_stride + whole + 16, load(rest_o + i * 32 + 16), high);
  }
}

// Whether every value of the block is a finite number.
bool all_finite(const AttendArgs& args) {
  const __m512i exponent = _mm512_set1_epi16(0x7f80);
  for (int64_t j = 0; j < kBlockKeys / 2; ++j) {
    for (int64_t d = 0; d < args.v_dims; d += kLanes) {
      const __m512i bits =
          _mm512_and_si512(_mm512_castps_si512(load(args.values + j * args.value_stride + d,
                                                    first_lanes(args.v_dims - d))),
                           exponent);
      if (_mm512_cmpeq_epi16_mask(bits, exponent) != 0) return false;
    }
  }
  return true;
}

// One row at a time, tiles of one row configured, through values [32, 32 dims] in which what it
// does not see is zero.
void value_rows_apart(const Group& g) {
  const AttendArgs& args = g.args;
  for (int64_t i = 0; i < g.n; ++i) {
    const int64_t count = count_of(args, g.begin + i);
    Group row = g;
    row.begin = g.begin + i;
    row.n = 1;
    row.scores = g.scores + i * kBlockKeys;
    float* o = args.o + row.begin * args.o_stride;
    correct_row(o, g.correction[i], args.v_dims);
    for (int64_t d = 0; d < args.v_dims; d += 32) {
      alignas(64) float seen[32 * 32];
      alignas(64) float out[32];
      for (int64_t half = 0; half < 2; ++half) {
        const Mask mask = first_lanes(args.v_dims - d - half * 16);
        for (int64_t j = 0; j < kBlockKeys / 2; ++j) {
          F32 pair = 2 * j < count ? load(args.values + j * args.value_stride + d + half * 16, mask)
                                   : zero();
          if (2 * j + 1 == count) pair = low_of_pairs(pair);
          store(seen + j * 32 + half * 16, pair);
        }
        store(out + half * 16, load(o + d + half * 16, mask));
      }
      value_pass<1>(row, seen, 32, out, 32);
      for (int64_t half = 0; half < 2; ++half)
        store(o + d + half * 16, load(out + half * 16), first_lanes(args.v_dims - d - half * 16));
    }
  }
}

// Queries begin .. begin + n - 1, as many as the configured tiles hold.
template <int QT>
void attend_group(const AttendArgs& args, int64_t begin, int64_t n) {
  alignas(64) float scores[kGroup * kBlockKeys];
  float correction[kGroup];
  const Group g{args, begin, n, scores, correction};
  score_group<QT>(g);
  bool all_seen = true;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t count = count_of(args, begin + i);
    all_seen = all_seen && count == kBlockKeys;
    correction[i] = softmax_block<true>(scores + i * kBlockKeys, count, args.softmax_scale,
                                        args.m + begin + i, args.l + begin + i);
  }
  if (all_seen || all_finite(args)) {
    value_group<QT>(g, args.values, args.value_stride);
  } else {
    configure_tiles(16, 1);
    value_rows_apart(g);
    configure_tiles(16, n < 16 ? n : 16);
  }
}

void attend_tiles(const AttendArgs& args) {
  if (!args.pairs) return attend(args);
  int64_t i = 0;
  while (i < args.n_queries && count_of(args, i) == 0) ++i;
  if (i + 16 <= args.n_queries) {
    const Tiles tiles(16);
    for (; i + kGroup <= args.n_queries; i += kGroup) attend_group<2>(args, i, kGroup);
    if (i + 16 <= args.n_queries) {
      attend_group<1>(args, i, 16);
      i += 16;
    }
  }
  if (i < args.n_queries) {
    const Tiles tiles(16, args.n_queries - i);
    attend_group<1>(args, i, args.n_queries - i);
  }
}

constexpr AttentionTable with_tiles() {
  AttentionTable table = kVectorAttention;
  table.attend = attend_tiles;
  return table;
}

}  // namespace

const AttentionTable kAttention = with_tiles();

}  // namespace fathom::amx
