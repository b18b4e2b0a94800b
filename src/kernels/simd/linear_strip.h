// The pieces of a matrix that linear_panel.h widens one after the other, and their way into the
// cache. Included by it.
#pragma once

namespace fathom::FATHOM_ISA_NAMESPACE {
namespace {

constexpr int64_t kPanelRows = 96;  // full tiles of 3 and of 6
constexpr int64_t kPanelColumns = 8;
// Lanes of a chunk: 8 columns of 512 are 16 KB, half of the smallest first-level cache, which
// leaves room for the rows of a tile. A line of cache apart, or columns would share its sets.
constexpr int64_t kPanelLanes = 512;
constexpr int64_t kPanelStride = kPanelLanes + kLanes;
template <class W>
constexpr int64_t kPanelK = kPanelLanes* Lane<W>::kValues;

// Some columns by a chunk of k.
struct Strip {
  int64_t n, columns;
  int64_t k, count;
};

// The strip that is widened after one; none (no columns) after the last of a range.
template <class W, bool kPromote>
Strip strip_after(const LinearRange& args, const Strip& strip) {
  Strip next = strip;
  next.k += strip.count;
  if (next.k >= args.k) {
    next.k = 0;
    next.n += strip.columns;
    next.columns = columns_from<kPromote>(args, next.n, kPanelColumns);
  }
  next.count = smaller(kPanelK<W>, args.k - next.k);
  return next;
}

// Fetches a strip while the tiles of the one before are computed, so that it is there when it is
// widened: the processor's own prefetcher would begin anew with every column, and each of its first
// lines would be waited for.
template <class W>
struct StripAhead {
  static constexpr int64_t kLine = 64;
  const char* w[kPanelColumns];
  int64_t bytes;  // of a column
  int64_t part;   // of them with each tile

  StripAhead(const LinearRange& args, const Strip& strip, int64_t n_tiles)
      : bytes(strip.columns > 0 ? strip.count * W::kBytes : 0),
        part(((bytes + kLine - 1) / kLine + n_tiles - 1) / n_tiles * kLine) {
    for (int64_t c = 0; c < kPanelColumns; ++c) {
      const int64_t column = strip.n + smaller(c, strip.columns - 1);
      w[c] = args.w + (column * args.k + strip.k) * W::kBytes;
    }
  }
  // What comes with a tile of the columns from c0 on. Inlined by force: a function that only
  // prefetches counts as one without effect, and calls of it are dropped.
  __attribute__((always_inline)) void fetch(int64_t tile, int64_t c0) const {
    for (int64_t at = tile * part; at < smaller(bytes, (tile + 1) * part); at += kLine) {
      FATHOM_UNROLL for (int64_t c = 0; c < kTileColumns; ++c) prefetch(w[c0 + c] + at);
    }
  }
};

}  // namespace
}  // namespace fathom::FATHOM_ISA_NAMESPACE
