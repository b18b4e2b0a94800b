// Linear layers over many rows: a panel of widened columns that all rows pass over. Included by
// linear_body.h, which says in which order sums are made.
#pragma once

namespace fathom::FATHOM_ISA_NAMESPACE {
namespace {

// acc[r][c] += x[r] * w[c] over whole vectors of lanes [begin, end) of a panel.
template <class L, int R, int C>
FATHOM_INLINE void add_panel(const float* const (&x)[R], const char* const (&w)[C], int64_t begin,
                             int64_t end, F32 (&acc)[R][C]) {
  for (int64_t i = begin; i < end; i += kLanes) {
    F32 values[C];
    FATHOM_UNROLL for (int c = 0; c < C; ++c) {
      WeightF32::widen(w[c] + i * WeightF32::kBytes, &values[c]);
      // Stays in a register: folded into R fmas it would be loaded R times, and loads would be the
      // bound.
      keep_in_register(values[c]);
    }
    FATHOM_UNROLL for (int r = 0; r < R; ++r) {
      const F32 row = load(x[r] + i);
      FATHOM_UNROLL for (int c = 0; c < C; ++c) acc[r][c] =
          L::accumulate(row, values[c], acc[r][c]);
    }
  }
}

constexpr int64_t kPanelRows = 64;
constexpr int64_t kPanelColumns = 8;
// Lanes of a chunk: 8 columns of 512 are 16 KB, a third of the smallest first-level cache with room
// for the rows.
constexpr int64_t kPanelLanes = 512;
template <class W>
constexpr int64_t kPanelK = kPanelLanes* Lane<W>::kValues;

struct Panel {
  alignas(64) float w[kPanelColumns][kPanelLanes];
  alignas(64) float state[kPanelRows][kPanelColumns][kLanes];
  float parts[kMaxSegments][kPanelRows][kPanelColumns];
};

template <class W>
inline void widen_row(const char* w, int64_t count, float* out) {
  constexpr int kVectors = W::kStep / kLanes / Lane<W>::kValues;
  F32 values[kVectors];
  int64_t k = 0;
  for (; k + W::kStep <= count; k += W::kStep, out += kVectors * kLanes) {
    W::widen(w + k * W::kBytes, values);
    FATHOM_UNROLL for (int j = 0; j < kVectors; ++j) store(out + j * kLanes, values[j]);
  }
  if (k == count) return;
  W::widen_first(w + k * W::kBytes, count - k, values);
  FATHOM_UNROLL for (int j = 0; j < kVectors; ++j) store(out + j * kLanes, values[j]);
}

// R rows by C columns over the k of a chunk, sums carried in state[r * kPanelColumns + c]; or, if
// the chunk is all of k, their horizontal sums in parts[r * kPanelColumns + c].
template <class L, bool kPromote, int R, int C>
[[gnu::noinline]] void panel_tile(const RowSet<R>& rows, const char* const (&w)[C],
                                  const float* w_scales, int64_t k0, int64_t count, bool from_zero,
                                  float (*state)[kLanes], float* parts) {
  const float* x[R];
  for (int r = 0; r < R; ++r) x[r] = rows.x[r] + k0 / L::kValues;
  // In lanes; both operands hold zeros beyond count.
  constexpr int64_t kVector = kLanes * L::kValues, kBlock = kLinearBlock / L::kValues;
  const int64_t padded = (count + kVector - 1) / kVector * kLanes;
  F32 acc[R][C];
  if (from_zero) {
    set_zero(acc);
  } else {
    FATHOM_UNROLL for (int r = 0; r < R; ++r) {
      FATHOM_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = load(state[r * kPanelColumns + c]);
    }
  }
  if constexpr (!kPromote) add_panel<L>(x, w, 0, padded, acc);
  int64_t index = k0 / kLinearBlock;
  for (int64_t i = 0; kPromote && i < padded; i += kBlock, ++index) {
    F32 block[R][C];
    set_zero(block);
    if (i + kBlock <= padded) {
      add_panel<L>(x, w, i, i + kBlock, block);
    } else {
      add_panel<L>(x, w, i, padded, block);
    }
    FATHOM_UNROLL for (int r = 0; r < R; ++r) {
      const F32 scale = set1(rows.scales[r][index] * w_scales[index]);
      FATHOM_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = fma(block[r][c], scale, acc[r][c]);
    }
  }
  if constexpr (C == 4) {
    if (parts != nullptr) {
      FATHOM_UNROLL for (int r = 0; r < R; ++r) reduce_add4(acc[r], parts + r * kPanelColumns);
      return;
    }
  }
  FATHOM_UNROLL for (int r = 0; r < R; ++r) {
    FATHOM_UNROLL for (int c = 0; c < C; ++c) store(state[r * kPanelColumns + c], acc[r][c]);
  }
}

// Whether a chunk of so many k is all of them, so that its sums need not be carried.
inline bool is_whole(const LinearRange& args, int64_t count) {
  return kTileColumns == 4 && count == args.k && args.n_segments == 1;
}

// Rows [i, i + n) of a panel, 0 < n <= R.
template <class L, bool kPromote, int R>
void panel_rows(const LinearRange& args, Panel& panel, int64_t first, int64_t i, int64_t n,
                const char* const* w, int64_t columns, const float* w_scales, int64_t k0,
                int64_t count, bool from_zero) {
  if constexpr (R > 1) {
    if (n < R) {
      return panel_rows<L, kPromote, R - 1>(args, panel, first, i, n, w, columns, w_scales, k0,
                                            count, from_zero);
    }
  }
  const RowSet<R> rows = rows_from<R>(args, first + i);
  for (int64_t c0 = 0; c0 < columns; c0 += kTileColumns) {
    const char* tile[kTileColumns];
    for (int c = 0; c < kTileColumns; ++c) tile[c] = w[c0 + c];
    panel_tile<L, kPromote, R, kTileColumns>(
        rows, tile, w_scales, k0, count, from_zero, &panel.state[i][c0],
        is_whole(args, count) ? &panel.parts[0][i][c0] : nullptr);
  }
}

// One chunk of k for one group of columns and up to kPanelRows rows.
template <class W, bool kPromote>
void panel_chunk(const LinearRange& args, Panel& panel, int64_t first, int64_t n_rows, int64_t n,
                 int64_t columns, int64_t k0, int64_t count, bool from_zero) {
  const char* w[kPanelColumns];
  for (int64_t c = 0; c < kPanelColumns; ++c) {
    // Columns that are not there repeat the last; their sums are not written.
    const char* source = args.w + ((n + smaller(c, columns - 1)) * args.k + k0) * W::kBytes;
    if (W::kBytes == 4 && count % kLanes == 0) {
      w[c] = source;
      continue;
    }
    if (c < columns) widen_row<W>(source, count, panel.w[c]);
    w[c] = reinterpret_cast<const char*>(panel.w[smaller(c, columns - 1)]);
  }
  const float* w_scales = kPromote ? scale_row(args, n) : nullptr;
  constexpr int kRows = kPromote ? kPromotedRows : kPlainRows;
  for (int64_t i = 0; i < n_rows; i += kRows) {
    panel_rows<Lane<W>, kPromote, kRows>(args, panel, first, i, smaller(kRows, n_rows - i), w,
                                         columns, w_scales, k0, count, from_zero);
  }
}

template <class W, bool kPromote>
void panel_columns(const LinearRange& args, Panel& panel, int64_t first, int64_t n_rows, int64_t n,
                   int64_t columns) {
  const int64_t segment = args.k / args.n_segments;
  for (int s = 0; s < args.n_segments; ++s) {
    const int64_t begin = s * segment, end = begin + segment;
    for (int64_t k0 = begin; k0 < end; k0 += kPanelK<W>) {
      panel_chunk<W, kPromote>(args, panel, first, n_rows, n, columns, k0,
                               smaller(kPanelK<W>, end - k0), k0 == begin);
    }
    for (int64_t i = 0; i < n_rows && !is_whole(args, smaller(kPanelK<W>, args.k)); ++i) {
      for (int64_t c = 0; c < columns; c += 4) {
        F32 sums[4];
        FATHOM_UNROLL for (int j = 0; j < 4; ++j) sums[j] = load(panel.state[i][c + j]);
        reduce_add4(sums, &panel.parts[s][i][c]);
      }
    }
  }
  for (int64_t i = 0; i < n_rows; ++i) {
    float* y = args.y + (first + i) * args.ldy + n - args.n_begin;
    for (int64_t c = 0; c < columns; ++c) {
      y[c] = tree(&panel.parts[0][i][c], kPanelRows * kPanelColumns, args.n_segments);
    }
  }
}

template <class W, bool kPromote>
void panel(const LinearRange& args) {
  Panel buffers;
  for (int64_t first = 0; first < args.n_rows; first += kPanelRows) {
    const int64_t n_rows = smaller(kPanelRows, args.n_rows - first);
    for (int64_t n = args.n_begin; n < args.n_end;) {
      const int64_t columns = columns_from<kPromote>(args, n, kPanelColumns);
      panel_columns<W, kPromote>(args, buffers, first, n_rows, n, columns);
      n += columns;
    }
  }
}

}  // namespace
}  // namespace fathom::FATHOM_ISA_NAMESPACE
