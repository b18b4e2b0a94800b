// Linear layers over many rows: a panel of widened columns that all rows pass over. Included by
// linear_body.h, which says in which order sums are made.
#pragma once

#include "kernels/simd/linear_strip.h"

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

struct Panel {
  alignas(64) float w[kPanelColumns][kPanelStride];
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

// R rows by C columns over the k of a chunk, sums carried in state[r * kPanelColumns + c]; after
// the last chunk of a segment their horizontal sums are in parts[r * kPanelColumns + c], null
// before.
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

// Whether tiles make their horizontal sums themselves at the end of a segment.
constexpr bool kTileSums = kTileColumns == 4;

// One strip on its way over the rows of a panel.
template <class W>
struct StripPass {
  const LinearRange& args;
  Panel& panel;
  int64_t first;  // row of the range
  Strip strip;
  bool from_zero;                 // first of its segment
  float (*parts)[kPanelColumns];  // as of panel_tile, of all rows
  const char* w[kPanelColumns];   // widened
  const float* w_scales;
  StripAhead<W> ahead;
};

// Rows [i, i + n) of a panel, 0 < n <= R; tile: their number.
template <class W, bool kPromote, int R>
void panel_rows(const StripPass<W>& pass, int64_t tile, int64_t i, int64_t n) {
  if constexpr (R > 1) {
    if (n < R) return panel_rows<W, kPromote, R - 1>(pass, tile, i, n);
  }
  const RowSet<R> rows = rows_from<R>(pass.args, pass.first + i);
  for (int64_t c0 = 0; c0 < pass.strip.columns; c0 += kTileColumns) {
    pass.ahead.fetch(tile, c0);
    const char* w[kTileColumns];
    for (int c = 0; c < kTileColumns; ++c) w[c] = pass.w[c0 + c];
    panel_tile<Lane<W>, kPromote, R, kTileColumns>(
        rows, w, pass.w_scales, pass.strip.k, pass.strip.count, pass.from_zero,
        &pass.panel.state[i][c0], pass.parts == nullptr ? nullptr : &pass.parts[i][c0]);
  }
}

// One strip and up to kPanelRows rows; parts: as of panel_tile, of all rows.
template <class W, bool kPromote>
void panel_strip(const LinearRange& args, Panel& panel, int64_t first, int64_t n_rows,
                 const Strip& strip, bool from_zero, float (*parts)[kPanelColumns]) {
  constexpr int kRows = kPromote ? kPromotedRows : kPlainRows;
  const int64_t tiles = (n_rows + kRows - 1) / kRows;
  StripPass<W> pass{.args = args,
                    .panel = panel,
                    .first = first,
                    .strip = strip,
                    .from_zero = from_zero,
                    .parts = parts,
                    .w = {},
                    .w_scales = kPromote ? scale_row(args, strip.n) : nullptr,
                    .ahead = {args, strip_after<W, kPromote>(args, strip), tiles}};
  for (int64_t c = 0; c < kPanelColumns; ++c) {
    // Columns that are not there repeat the last; their sums are not written.
    const int64_t column = smaller(c, strip.columns - 1);
    const char* source = args.w + ((strip.n + column) * args.k + strip.k) * W::kBytes;
    if (W::kBytes == 4 && strip.count % kLanes == 0) {
      pass.w[c] = source;
      continue;
    }
    if (c < strip.columns) widen_row<W>(source, strip.count, panel.w[c]);
    pass.w[c] = reinterpret_cast<const char*>(panel.w[column]);
  }
  for (int64_t tile = 0; tile < tiles; ++tile) {
    panel_rows<W, kPromote, kRows>(pass, tile, tile * kRows, smaller(kRows, n_rows - tile * kRows));
  }
}

template <class W, bool kPromote>
void panel_columns(const LinearRange& args, Panel& panel, int64_t first, int64_t n_rows, int64_t n,
                   int64_t columns) {
  const int64_t segment = args.k / args.n_segments;
  for (int s = 0; s < args.n_segments; ++s) {
    const int64_t begin = s * segment, end = begin + segment;
    for (int64_t k = begin; k < end; k += kPanelK<W>) {
      const Strip strip{n, columns, k, smaller(kPanelK<W>, end - k)};
      panel_strip<W, kPromote>(args, panel, first, n_rows, strip, k == begin,
                               kTileSums && k + strip.count == end ? panel.parts[s] : nullptr);
    }
    for (int64_t i = 0; !kTileSums && i < n_rows; ++i) {
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
