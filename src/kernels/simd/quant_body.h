// Integer weights over panels of 16 output columns: a chunk of a panel is unpacked once for up to
// 96 rows of x, the groups' sums go to F32 in ascending order, segments are added as a tree.
//
// Included after what an instruction set brings: QuantView, QuantScratch, QuantPanel, the Unpack*
// front ends (quant_unpack_*.h), and for kPanels panels at once, and for one,
//   add_chunk<R, kGroup, kMinimum>(views, rows, i, k0, n_groups, offset, state)
// for the row counts R of row_steps<panels>(), descending, the last 1.
#pragma once

namespace fathom::FATHOM_ISA_NAMESPACE {
namespace {

// The chunks of packed panels that are wanted next: fetched in shares, one before each step of
// rows, since the first-level cache has fewer line buffers than a chunk has lines. Sixteen rows of
// INT8 on a Zen 4: 68 % of the peak, and 45 % where each chunk is fetched at its own beginning.
template <int P>
struct ChunksAhead {
  const char* next[P];
  int64_t lines = 0;  // of 64 bytes, of each panel

  __attribute__((always_inline)) void begin(int p, const QuantPanel& panel, int64_t index,
                                            const QuantFormat& format) {
    const int64_t bytes = format.block_bytes * (kQuantChunk / format.block);
    next[p] = reinterpret_cast<const char*>(panel.first) + index * bytes;
    lines = bytes / 64;
  }
  __attribute__((always_inline)) void fetch(int64_t row, int64_t n, int64_t n_rows) const {
    const int64_t end = lines * (row + n) / n_rows;
    for (int64_t line = lines * row / n_rows; line < end; ++line) {
      for (int p = 0; p < P; ++p) prefetch(next[p] + 64 * line);
    }
  }
};

// Runs add_chunk over all rows, the largest steps first.
template <int kGroup, bool kMinimum, int P, int R, int... kRest>
FATHOM_INLINE void add_chunk_from(const QuantView (&views)[P], const BlockOfRows& rows, int64_t i,
                                  int64_t k0, int64_t n_groups, int32_t offset,
                                  const PanelSums<P>& state, const ChunksAhead<P>& ahead) {
  for (; rows.n_rows - i >= R; i += R) {
    PanelSums<P> from;
    for (int p = 0; p < P; ++p) from[p] = state[p] + i;
    ahead.fetch(i, R, rows.n_rows);
    add_chunk<R, kGroup, kMinimum>(views, rows, i, k0, n_groups, offset, from);
  }
  if constexpr (sizeof...(kRest) > 0) {
    add_chunk_from<kGroup, kMinimum, P, kRest...>(views, rows, i, k0, n_groups, offset, state,
                                                  ahead);
  }
}
template <int kGroup, bool kMinimum, int P, int... kSteps>
FATHOM_INLINE void add_chunk_to_all(RowSteps<kSteps...>, const QuantView (&views)[P],
                                    const BlockOfRows& rows, int64_t k0, int64_t n_groups,
                                    int32_t offset, const PanelSums<P>& state,
                                    const ChunksAhead<P>& ahead) {
  add_chunk_from<kGroup, kMinimum, P, kSteps...>(views, rows, 0, k0, n_groups, offset, state,
                                                 ahead);
}

// Whether a pass over P panels fetches by shares: those that have rows enough.
template <class U, int P>
constexpr bool kSpreadFetch = quant_format(U::kType).packed&& P > 1;

template <class U, int P>
FATHOM_INLINE void add_panels(const QuantRange& args, const QuantPanel (&panels)[P],
                              const BlockOfRows& rows, QuantScratch (&scratch)[P],
                              PanelState (&states)[P]) {
  constexpr QuantFormat kFormat = quant_format(U::kType);
  constexpr int kGroup = static_cast<int>(kFormat.group);
  const int64_t segment = args.k / args.n_segments;
  for (int s = 0; s < args.n_segments; ++s) {
    PanelSums<P> state;
    for (int p = 0; p < P; ++p) {
      state[p] = states[p].sums[s];
      for (int64_t i = 0; i < rows.n_rows; ++i) {
        FATHOM_UNROLL for (int64_t l = 0; l < kPanelWidth; l += kLanes)
            store(state[p][i] + l, zero());
      }
    }
    for (int64_t k0 = s * segment; k0 < (s + 1) * segment; k0 += kQuantChunk) {
      const int64_t left = (s + 1) * segment - k0;
      const int64_t columns = left < kQuantChunk ? left : kQuantChunk;
      QuantView views[P];
      ChunksAhead<P> ahead;
      for (int p = 0; p < P; ++p) {
        views[p] = U::unpack(panels[p], k0 / kQuantChunk, columns, scratch[p]);
        if constexpr (kSpreadFetch<U, P>) ahead.begin(p, panels[p], k0 / kQuantChunk + 1, kFormat);
      }
      add_chunk_to_all<kGroup, kFormat.has_minimum, P>(row_steps<P>(), views, rows, k0,
                                                       (columns + kGroup - 1) / kGroup,
                                                       kFormat.offset, state, ahead);
    }
  }
}

FATHOM_INLINE F32 segment_tree(const PanelState& state, int64_t i, int64_t lane, int n_segments) {
  const auto part = [&](int s) __attribute__((always_inline)) {
    return load(state.sums[s][i] + lane);
  };
  if (n_segments == 1) return part(0);
  return add(add(add(part(0), part(1)), add(part(2), part(3))),
             add(add(part(4), part(5)), add(part(6), part(7))));
}

// The lanes of a panel, at column n, that are columns [n_begin, n_end) of the result.
FATHOM_INLINE void store_panel(const QuantRange& args, const PanelState& state, int64_t first,
                               int64_t n_rows, int64_t n) {
  const int64_t skip = n < args.n_begin ? args.n_begin - n : 0;
  for (int64_t i = 0; i < n_rows; ++i) {
    float* y = args.y + (first + i) * args.ldy + (n - args.n_begin);
    FATHOM_UNROLL for (int64_t l = 0; l < kPanelWidth; l += kLanes) {
      const F32 sums = segment_tree(state, i, l, args.n_segments);
      const int64_t begin = skip - l, end = args.n_end - n - l;
      if (begin <= 0 && end >= kLanes) {
        store(y + l, sums);
        continue;
      }
      float lanes[kLanes];
      store(lanes, sums);
      for (int64_t j = begin < 0 ? 0 : begin; j < end && j < kLanes; ++j) y[l + j] = lanes[j];
    }
  }
}

// P panels at a time from column n on, as long as another is left after the others of a step;
// returns where the next panel begins.
template <class U, int P>
int64_t pass_panels(const QuantRange& args, const BlockOfRows& rows, int64_t first, int64_t n) {
  QuantScratch scratch[P];
  PanelState states[P];
  for (; n + (P - 1) * kPanelWidth < args.n_end; n += P * kPanelWidth) {
    QuantPanel panels[P];
    for (int p = 0; p < P; ++p) {
      panels[p] = panel_at<quant_format(U::kType).packed>(args, n + p * kPanelWidth);
      panels[p].ahead = kSpreadFetch<U, P> ? 0 : panels[p].ahead * P;  // of rows: the next P panels
    }
    add_panels<U>(args, panels, rows, scratch, states);
    for (int p = 0; p < P; ++p)
      store_panel(args, states[p], first, rows.n_rows, n + p * kPanelWidth);
  }
  return n;
}

template <class U>
void quant_rows(const QuantRange& args) {
  BlockOfRows rows;
  constexpr bool kPacked = quant_format(U::kType).packed;
  for (int64_t first = 0; first < args.n_rows; first += kBlockRows) {
    rows.n_rows = args.n_rows - first < kBlockRows ? args.n_rows - first : kBlockRows;
    for (int64_t i = 0; i < rows.n_rows; ++i) {
      const int64_t row = args.row(first + i);
      rows.x[i] = args.x + row * args.x_stride;
      rows.scales[i] = args.x_scales + row * args.x_tile_stride;
      rows.sums[i] = args.x_sums + row * args.x_tile_stride;
    }
    int64_t n = kPacked ? args.n_begin / kPanelWidth * kPanelWidth : args.n_begin;
    if (rows.n_rows >= kPanelsRowsMin) n = pass_panels<U, kPanels>(args, rows, first, n);
    pass_panels<U, 1>(args, rows, first, n);
  }
}

}  // namespace

void quant_range(const QuantRange& args) {
  with_unpacker(args.type, [&]<class U>() { quant_rows<U>(args); });
}

void prepare_int8(const PrepareInt8& args) {
  for (int64_t k0 = 0; k0 < args.k_padded; k0 += args.tile) prepare_int8_tile(args, k0);
}

}  // namespace fathom::FATHOM_ISA_NAMESPACE
