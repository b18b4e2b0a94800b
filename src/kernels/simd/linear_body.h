// Linear layers on vectors (docs/numerics.md 1-3). Lanes run along k: lane l adds the products of
// k = l, l + kLanes, l + 2 kLanes, ... by F32 fma, one vector of sums for each (row, column)
// through a whole segment, then one horizontal sum by halves. FP8: sums of a block of 128 start
// from zero and are promoted lane by lane. BF16 and E4M3 operands are widened exactly. Where a
// weight type has pairs of BF16 for lanes, read the above with pairs for k. Two ways through the
// same sums, equal to the bit:
//
// - stream, few rows: weights are widened in registers once for each tile; bound by memory.
// - panel, many rows: a chunk of some columns is widened once for all; bound by arithmetic.
//
// Included after the instruction set's weights_*.h.
#pragma once

namespace fathom::FATHOM_ISA_NAMESPACE {
namespace {

// What one lane of a vector of operands holds, and how it joins a sum: a value, or a pair of BF16
// where a weight type says so (linear_avx512.cc).
struct OneValue {
  static constexpr int64_t kValues = 1;
  FATHOM_INLINE F32 accumulate(F32 x, F32 w, F32 sum) { return fma(x, w, sum); }
};
template <class W>
struct LaneOf {
  using Type = OneValue;
};
template <class W>
using Lane = typename LaneOf<W>::Type;

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// acc[r][c] += x[r] * w[c] over k in [begin, end), lane by lane. ahead: bytes from a weight to what
// to fetch with it, none if 0.
template <class W, int R, int C>
[[gnu::always_inline]] inline void add_products(const float* const (&x)[R],
                                                const char* const (&w)[C], int64_t begin,
                                                int64_t end, int64_t ahead, F32 (&acc)[R][C]) {
  constexpr int64_t kVector = kLanes * Lane<W>::kValues;  // k of a vector
  constexpr int kVectors = W::kStep / kVector;
  int64_t k = begin;
  for (; k + W::kStep <= end; k += W::kStep) {
    if (ahead != 0) {
      FATHOM_UNROLL for (int c = 0; c < C; ++c) prefetch(w[c] + k * W::kBytes + ahead);
    }
    const int64_t at = k / Lane<W>::kValues;
    if constexpr (kVectors == 1) {
      F32 values[C];
      FATHOM_UNROLL for (int c = 0; c < C; ++c) W::widen(w[c] + k * W::kBytes, &values[c]);
      FATHOM_UNROLL for (int r = 0; r < R; ++r) {
        const F32 row = load(x[r] + at);
        FATHOM_UNROLL for (int c = 0; c < C; ++c) acc[r][c] =
            Lane<W>::accumulate(row, values[c], acc[r][c]);
      }
    } else {
      FATHOM_UNROLL for (int c = 0; c < C; ++c) {
        F32 values[kVectors];
        W::widen(w[c] + k * W::kBytes, values);
        FATHOM_UNROLL for (int j = 0; j < kVectors; ++j) {
          FATHOM_UNROLL for (int r = 0; r < R; ++r) acc[r][c] =
              Lane<W>::accumulate(load(x[r] + at + j * kLanes), values[j], acc[r][c]);
        }
      }
    }
  }
  if (k == end) return;
  // The rest: x is padded with zeros, w is read up to its last element only.
  FATHOM_UNROLL for (int c = 0; c < C; ++c) {
    F32 values[kVectors];
    W::widen_first(w[c] + k * W::kBytes, end - k, values);
    FATHOM_UNROLL for (int j = 0; j < kVectors; ++j) {
      if (k + j * kVector >= end) break;
      const int64_t at = k / Lane<W>::kValues + j * kLanes;
      FATHOM_UNROLL for (int r = 0; r < R; ++r) acc[r][c] =
          Lane<W>::accumulate(load(x[r] + at), values[j], acc[r][c]);
    }
  }
}

template <int R, int C>
[[gnu::always_inline]] inline void set_zero(F32 (&acc)[R][C]) {
  FATHOM_UNROLL for (int r = 0; r < R; ++r) {
    FATHOM_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = zero();
  }
}

// Where the rows of a tile and their scales are.
template <int R>
struct RowSet {
  const float* x[R];
  const float* scales[R];
};
template <int R>
inline RowSet<R> rows_from(const LinearRange& args, int64_t first) {
  RowSet<R> set;
  for (int r = 0; r < R; ++r) {
    const int64_t row = args.row(first + r);
    set.x[r] = args.x + row * args.x_stride;
    set.scales[r] = args.x_scales + row * args.x_scale_stride;
  }
  return set;
}

// sums[c] = the tree over the segments of column c of one row; parts[s * stride + c].
inline float tree(const float* parts, int64_t stride, int n_segments) {
  if (n_segments == 1) return parts[0];
  const float* p = parts;
  return ((p[0] + p[stride]) + (p[2 * stride] + p[3 * stride])) +
         ((p[4 * stride] + p[5 * stride]) + (p[6 * stride] + p[7 * stride]));
}

inline const float* scale_row(const LinearRange& args, int64_t column) {
  return args.w_scales + column / kLinearBlock * ((args.k + kLinearBlock - 1) / kLinearBlock);
}

// Columns from n on that one tile may hold: an FP8 tile has one row of weight scales.
template <bool kPromote>
inline int64_t columns_from(const LinearRange& args, int64_t n, int64_t most) {
  const int64_t columns = smaller(most, args.n_end - n);
  return kPromote ? smaller(columns, kLinearBlock - n % kLinearBlock) : columns;
}

// ---- stream

// R rows by C columns over one segment; sums[r * C + c].
template <class W, bool kPromote, int R, int C>
[[gnu::noinline]] void stream_tile(const RowSet<R>& rows, const char* const (&w)[C],
                                   const float* w_scales, int64_t begin, int64_t end, int64_t ahead,
                                   float* sums) {
  F32 running[R][C];
  set_zero(running);
  if constexpr (!kPromote) {
    add_products<W>(rows.x, w, begin, end, ahead, running);
  } else {
    for (int64_t k = begin; k < end; k += kLinearBlock) {
      F32 block[R][C];
      set_zero(block);
      if (k + kLinearBlock <= end) {
        add_products<W>(rows.x, w, k, k + kLinearBlock, ahead, block);
      } else {
        add_products<W>(rows.x, w, k, end, ahead, block);
      }
      FATHOM_UNROLL for (int r = 0; r < R; ++r) {
        const F32 scale = set1(rows.scales[r][k / kLinearBlock] * w_scales[k / kLinearBlock]);
        FATHOM_UNROLL for (int c = 0; c < C; ++c) running[r][c] =
            fma(block[r][c], scale, running[r][c]);
      }
    }
  }
  constexpr int kFours = R * C / 4 * 4;
  FATHOM_UNROLL for (int i = 0; i < kFours; i += 4) reduce_add4(&running[0][0] + i, sums + i);
  FATHOM_UNROLL for (int i = kFours; i < R * C; ++i) sums[i] = reduce_add((&running[0][0])[i]);
}

// Columns of a tile of R rows: where sums are promoted, no more than registers hold twice.
template <bool kPromote, int R>
constexpr int stream_columns() {
  int columns = R == 1 ? kStreamColumns : kTileColumns;
  while (kPromote && R > 1 && columns > 1 && R * columns > kPromotedSums) columns /= 2;
  return columns;
}

template <class W, bool kPromote, int R>
void stream_rows(const LinearRange& args, int64_t first, int64_t n, int64_t columns) {
  constexpr int C = stream_columns<kPromote, R>();
  const RowSet<R> rows = rows_from<R>(args, first);
  const int64_t segment = args.k / args.n_segments;
  for (int64_t c0 = 0; c0 < columns; c0 += C) {
    const int64_t valid = smaller(C, columns - c0);
    // The columns of the next tile, fetched while this one is computed: the processor's own
    // prefetcher follows few streams, and several rows may share its page (F8, k 2048, one
    // core: 7.2 GB/s without, 11.1 with).
    const int64_t ahead = C * args.k * W::kBytes;
    const char* w[C];
    for (int c = 0; c < C; ++c)
      w[c] = args.w + (n + c0 + smaller(c, valid - 1)) * args.k * W::kBytes;
    const float* w_scales = kPromote ? scale_row(args, n) : nullptr;
    float parts[kMaxSegments][R * C];
    for (int s = 0; s < args.n_segments; ++s) {
      stream_tile<W, kPromote, R, C>(rows, w, w_scales, s * segment, (s + 1) * segment, ahead,
                                     parts[s]);
    }
    for (int r = 0; r < R; ++r) {
      float* y = args.y + (first + r) * args.ldy + n + c0 - args.n_begin;
      for (int64_t c = 0; c < valid; ++c) y[c] = tree(&parts[0][r * C + c], R * C, args.n_segments);
    }
  }
}

// Rows [first, first + n_rows), 0 < n_rows <= R.
template <class W, bool kPromote, int R>
void stream_up_to(const LinearRange& args, int64_t first, int64_t n_rows, int64_t n,
                  int64_t columns) {
  if constexpr (R > 1) {
    if (n_rows < R) return stream_up_to<W, kPromote, R - 1>(args, first, n_rows, n, columns);
  }
  stream_rows<W, kPromote, R>(args, first, n, columns);
}

template <class W, bool kPromote>
void stream(const LinearRange& args) {
  constexpr int64_t kRows = kPromote ? kPromotedStreamRows : kStreamRows;
  for (int64_t n = args.n_begin; n < args.n_end;) {
    const int64_t columns = columns_from<kPromote>(args, n, kStreamColumns);
    for (int64_t first = 0; first < args.n_rows; first += kRows) {
      stream_up_to<W, kPromote, kRows>(args, first, smaller(kRows, args.n_rows - first), n,
                                       columns);
    }
    n += columns;
  }
}

}  // namespace
}  // namespace fathom::FATHOM_ISA_NAMESPACE

#include "kernels/simd/linear_panel.h"

namespace fathom::FATHOM_ISA_NAMESPACE {
namespace {

template <class W, bool kPromote>
void any_rows(const LinearRange& args) {
  if (args.n_rows < kPanelRowsMin || args.k == 0) {
    stream<W, kPromote>(args);
  } else {
    panel<W, kPromote>(args);
  }
}

}  // namespace

void linear_range(const LinearRange& args) {
  switch (args.w_type) {
    case WeightType::kF32:
      any_rows<WeightF32, false>(args);
      break;
    case WeightType::kF16:
      any_rows<WeightF16, false>(args);
      break;
    case WeightType::kBf16:
      any_rows<WeightBf16, false>(args);
      break;
    case WeightType::kE4m3:
      any_rows<WeightE4m3, true>(args);
      break;
  }
}

}  // namespace fathom::FATHOM_ISA_NAMESPACE
