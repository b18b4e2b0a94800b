// Integer weights for AMX, many rows: TDPBSSD multiplies tiles of 16 rows of x and 16 columns of
// the result over up to 64 k. Weights are unpacked once for up to 512 rows, as signed codes, in
// chunks that stay in the second-level cache; the rows of a tile and their sums stay in the first.
// The exact sums of one group go to F32 while the tiles multiply the next. Few rows are
// avx512::quant_range's; the bytes are the same.
#include "kernels/x86/quant_tiles_amx.h"

namespace fathom::amx {

namespace {

using namespace fathom::avx512;

// Below this the vectors are as fast, since the weights come from memory (n 2048, k 2048).
constexpr int64_t kRowsMin = 9;

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t padded(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Tiles 0-3 sums, 4-5 rows of x, 6-7 weights.
template <int kGroup>
void configure_tiles() {
  constexpr int kDepth = kGroup < 64 ? kGroup : 64;
  TileConfig config;
  for (int t = 0; t < 8; ++t) {
    config.column_bytes[t] = t == 4 || t == 5 ? kDepth : 64;
    config.rows[t] = t >= 6 ? kDepth / 4 : 16;
  }
  load_tile_config(config);
}

// The codes of panels from column n on, columns [k0, k0 + count).
template <class U>
void unpack_panels(const QuantRange& args, int64_t n, int64_t n_panels, int64_t k0, int64_t count,
                   Buffers& buffers) {
  constexpr QuantFormat kFormat = quant_format(U::kType);
  constexpr int64_t kGroups = kQuantChunk / kFormat.group;
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(kFormat.offset));
  QuantScratch scratch;
  for (int64_t p = 0; p < n_panels; ++p) {
    const QuantPanel panel = panel_at<kFormat.packed>(args, n + p * kPanelWidth);
    for (int64_t c = 0; c * kQuantChunk < count; ++c) {
      const int64_t columns = smaller(kQuantChunk, count - c * kQuantChunk);
      const QuantView view = U::unpack(panel, k0 / kQuantChunk + c, columns, scratch);
      const int64_t n_groups = padded(columns, kFormat.group) / kFormat.group;
      for (int64_t line = 0; line < n_groups * kFormat.group / 4; ++line) {
        const __m512i v = _mm512_loadu_si512(view.lines + 64 * line);
        _mm512_store_si512(buffers.codes[p][c * (kQuantChunk / 4) + line],
                           _mm512_sub_epi8(v, offset));
      }
      for (int64_t g = 0; g < n_groups; ++g) {
        store(buffers.scales[p][c * kGroups + g], load(view.scales + 16 * g));
        if constexpr (kFormat.has_minimum)
          store(buffers.minima[p][c * kGroups + g], load(view.minima + 16 * g));
      }
    }
  }
}

// Rows first .. first + n - 1, at most 32: their codes in [k0, k0 + count), scales and sums.
template <int kGroup, bool kMinimum>
TileRowsOfX take_rows(const QuantRange& args, int64_t first, int64_t n, int64_t k0, int64_t count,
                      Buffers& buffers) {
  const int64_t n_groups = padded(count, kGroup) / kGroup;
  const bool copy = args.rows != nullptr || (n != kTileRows && n != kTileRows / 2);
  for (int64_t r = 0; r < n; ++r) {
    const int64_t row = args.row(first + r);
    const int64_t tile = row * args.x_tile_stride + k0 / kGroup;
    for (int64_t g = 0; g < n_groups; ++g) {
      buffers.x_scales[g][r] = args.x_scales[tile + g];
      if constexpr (kMinimum) buffers.x_sums[g][r] = static_cast<float>(args.x_sums[tile + g]);
    }
    const int8_t* codes = args.x + row * args.x_stride + k0;
    for (int64_t k = 0; copy && k < n_groups * kGroup; k += 64)
      _mm512_store_si512(buffers.rows[r] + k, _mm512_loadu_si512(codes + k));
  }
  if (copy) return {buffers.rows[0], kChunk + 64};
  return {args.x + args.row(first) * args.x_stride + k0, args.x_stride};
}

// Rows [first, first + n_rows) of the range and the panels from column n on, into level 0.
template <class U>
void add_columns(const QuantRange& args, int64_t first, int64_t n_rows, int64_t n, int64_t n_panels,
                 Buffers& buffers) {
  constexpr QuantFormat kFormat = quant_format(U::kType);
  constexpr int kGroup = static_cast<int>(kFormat.group);
  const int64_t segment = args.k / args.n_segments;
  const int64_t n_tiles = (n_rows + kTileRows - 1) / kTileRows;
  for (int s = 0; s < args.n_segments; ++s) {
    const int level = __builtin_popcount(static_cast<unsigned>(s));
    for (int64_t k0 = s * segment; k0 < (s + 1) * segment; k0 += kChunk) {
      const int64_t count = smaller(kChunk, (s + 1) * segment - k0);
      const int64_t n_groups = padded(count, kGroup) / kGroup;
      unpack_panels<U>(args, n, n_panels, k0, count, buffers);
      for (int64_t t = 0; t < n_tiles; ++t) {
        const int64_t rows = smaller(kTileRows, n_rows - t * kTileRows);
        const TileRowsOfX x = take_rows<kGroup, kFormat.has_minimum>(args, first + t * kTileRows,
                                                                     rows, k0, count, buffers);
        auto* sums = buffers.sums[level][t];
        if (k0 == s * segment) __builtin_memset(sums, 0, sizeof(buffers.sums[level][t]));
        if (rows > 16) {
          add_tile<kGroup, kFormat.has_minimum, true>(buffers, x, n_panels, n_groups, sums);
        } else {
          add_tile<kGroup, kFormat.has_minimum, false>(buffers, x, n_panels, n_groups, sums);
        }
      }
    }
    // A segment that ends a pair, a four, all eight is added to the sums that wait.
    int l = level;
    for (unsigned ones = static_cast<unsigned>(s); (ones & 1u) != 0; ones >>= 1, --l) {
      for (int64_t t = 0; t < n_tiles; ++t) {
        for (int64_t p = 0; p < n_panels; p += 2) {
          float* to = buffers.sums[l - 1][t][p / 2][0];
          const float* from = buffers.sums[l][t][p / 2][0];
          for (int64_t i = 0; i < kTileRows * 32; i += kLanes)
            store(to + i, add(load(to + i), load(from + i)));
        }
      }
    }
  }
}

// Level 0 of panels from column n on to y.
void store_columns(const QuantRange& args, int64_t first, int64_t n_rows, int64_t n,
                   int64_t n_panels, const Buffers& buffers) {
  for (int64_t i = 0; i < n_rows; ++i) {
    for (int64_t p = 0; p < n_panels; ++p) {
      const int64_t column = n + p * kPanelWidth;
      const int64_t skip = column < args.n_begin ? args.n_begin - column : 0;
      const Mask mask = static_cast<Mask>(first_lanes(args.n_end - column) & ~first_lanes(skip));
      const float* sums =
          buffers.sums[0][i / kTileRows][p / 2][i % kTileRows] + p % 2 * kPanelWidth;
      store(args.y + (first + i) * args.ldy + (column - args.n_begin), load(sums), mask);
    }
  }
}

template <class U>
void quant_tiles(const QuantRange& args) {
  constexpr QuantFormat kFormat = quant_format(U::kType);
  Buffers buffers;
  configure_tiles<static_cast<int>(kFormat.group)>();
  const int64_t n_first = kFormat.packed ? args.n_begin / kPanelWidth * kPanelWidth : args.n_begin;
  for (int64_t first = 0; first < args.n_rows; first += kRows) {
    const int64_t n_rows = smaller(kRows, args.n_rows - first);
    for (int64_t n = n_first; n < args.n_end; n += kColumns) {
      const int64_t n_panels = padded(smaller(kColumns, args.n_end - n), kPanelWidth) / kPanelWidth;
      if (n_panels % 2 != 0) {  // the other half of a pair: its sums are not looked at
        __builtin_memset(buffers.scales[n_panels], 0, sizeof(buffers.scales[0]));
        __builtin_memset(buffers.minima[n_panels], 0, sizeof(buffers.minima[0]));
      }
      add_columns<U>(args, first, n_rows, n, n_panels, buffers);
      store_columns(args, first, n_rows, n, n_panels, buffers);
    }
  }
  _tile_release();
}

}  // namespace

void quant_range(const QuantRange& args) {
  if (args.n_rows < kRowsMin || args.k == 0) {
    avx512::quant_range(args);
    return;
  }
  with_unpacker(args.type, [&]<class U>() { quant_tiles<U>(args); });
}

}  // namespace fathom::amx
