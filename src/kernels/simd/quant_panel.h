// What front ends and products of integer weights hand to each other. Included after the
// instruction set's vec_*.h.
#pragma once

#include "kernels/quant_args.h"

namespace fathom::FATHOM_ISA_NAMESPACE {
namespace {

// A chunk of a panel: for 16 output columns ("lanes", rows of the weight) and up to 128 columns of
// k, lines of 64 bytes [16 lanes][4 consecutive k] of unsigned codes, and the F32 scales and minima
// of every group. lines and scales may point into the file.
struct QuantView {
  const uint8_t* lines;  // [columns / 4][64]
  const float* scales;   // [groups][16], any alignment
  const float* minima;   // [groups][16], or null
};
struct QuantScratch {
  alignas(64) uint8_t lines[kQuantChunk / 4][64];
  alignas(64) float scales[kQuantChunk / kMinQuantGroup][kPanelWidth];
  alignas(64) float minima[kQuantChunk / kMinQuantGroup][kPanelWidth];

  __attribute__((always_inline)) QuantView view() const { return {lines[0], scales[0], minima[0]}; }
};

// Where 16 lanes are. Packed: `first` is the panel. GGUF: lane l starts at first + offsets[l];
// lanes that are not there repeat the last. ahead: bytes from what is read to what to fetch with
// it; 0 where something else fetches.
struct QuantPanel {
  const uint8_t* first;
  int64_t ahead;
  alignas(64) int32_t offsets[kPanelWidth];
};

// How far ahead of a packed stream to fetch (one row of x, one core that reads 16.1 GB/s:
// INT8 15.5, INT4 13.8 GB/s; 4096 bytes ahead 14.5 and 11.0).
constexpr int64_t kPackedAhead = 1024;

// Lanes are the columns from n on; a packed n is a multiple of 16.
template <bool kPacked>
FATHOM_INLINE QuantPanel panel_at(const QuantRange& args, int64_t n) {
  QuantPanel panel;
  const auto* w = reinterpret_cast<const uint8_t*>(args.w);
  if constexpr (kPacked) {
    panel.first = w + n / kPanelWidth * args.w_stride;
    panel.ahead = kPackedAhead;
  } else {
    panel.first = w + n * args.w_stride;
    panel.ahead = kPanelWidth * args.w_stride;
    for (int64_t l = 0; l < kPanelWidth; ++l) {
      const int64_t lane = l < args.n_end - n ? l : args.n_end - n - 1;
      panel.offsets[l] = static_cast<int32_t>(lane * args.w_stride);
    }
  }
  return panel;
}

constexpr int64_t kBlockRows = 96;  // all that a task may have
constexpr int kSegments = 8;

// Rows of x.
struct BlockOfRows {
  int64_t n_rows;
  const int8_t* x[kBlockRows];
  const float* scales[kBlockRows];
  const int32_t* sums[kBlockRows];
};
// The sums of one panel, by segment and row.
struct PanelState {
  alignas(64) float sums[kSegments][kBlockRows][kPanelWidth];
};
// Those of one segment for P panels: of each, [rows][16].
template <int P>
using PanelSums = float (*[P])[kPanelWidth];

template <int... kSteps>
struct RowSteps {};

}  // namespace
}  // namespace fathom::FATHOM_ISA_NAMESPACE
