// Linear layers on AMX tiles, for inputs of BF16 values (rounded, or E4M3 with scales) and weights
// in BF16 or E4M3; everything else is avx512's. Weights are the left operand, 16 rows of the matrix
// as it lies in the file, widened to BF16 on the way; the input is the right one. A tile of sums
// holds 16 columns of y by up to 16 rows.
//
// The order of a sum (docs/numerics.md): k ascending in products of 32 (tiles_amx.h); E4M3: blocks
// of 128 from zero, then running = fma(block, s_x * s_w, running); segments as a tree. No
// horizontal sums. Nothing of it depends on the tile, so one row and many give the same bits.
//
// Loops: a few columns and all of k for few rows, whose tiles stay in the second-level cache;
// otherwise blocks of columns, chunks of k within, so that weights come from memory once and a
// chunk of the input serves a whole block of columns.
#include "kernels/linear_args.h"
#include "kernels/x86/linear_tiles_amx.h"

namespace fathom::amx {
namespace {

constexpr int64_t kAhead = 512;  // bytes of a row between what is used and fetched
constexpr int64_t kMaxColumnTiles = 32;
constexpr int kMaxParts = 4;  // partial sums of a tree of 8 segments, the running one included

inline int64_t ceil_tiles(int64_t n) { return (n + 15) / 16; }

// ---- one range

// Rows [first, first + n_rows) of a range through its columns.
template <class P>
class Range {
 public:
  Range(const LinearRange& args, int64_t first, int64_t n_rows)
      : args_(args),
        scratch_(*args.tile_scratch),
        first_(first),
        n_rows_(n_rows),
        m_tiles_(ceil_tiles(n_rows)),
        gathered_(args.tile.tiles == nullptr),
        width_(gathered_ ? smaller(16, n_rows) : args.tile.width),
        k_padded_((args.k + kLinearBlock - 1) / kLinearBlock * kLinearBlock),
        segment_(args.n_segments == 1 ? k_padded_ : args.k / args.n_segments) {
    // Few rows: two tiles of columns at a time over all of k.
    constexpr int64_t kRoom = sizeof(TileScratch::tiles) / sizeof(uint16_t);
    constexpr int64_t kScales = sizeof(TileScratch::tile_scales) / sizeof(float);
    whole_ = m_tiles_ <= 4 && m_tiles_ * width_ * k_padded_ <= kRoom &&
             m_tiles_ * 16 * (k_padded_ / kLinearBlock) <= kScales;
    chunk_ = whole_ ? kLinearBlock : kChunk;
    const int64_t parts = args.n_segments == 1 ? 1 : kMaxParts;
    constexpr int64_t kSums = sizeof(TileScratch::sums) / sizeof(float);
    part_sums_ = kSums / parts;
    column_tiles_max_ =
        whole_ ? 2 : smaller(kMaxColumnTiles, part_sums_ / (m_tiles_ * kTileSums) / 2 * 2);
  }

  void run() {
    const Tiles tiles(width_);
    for (int64_t k = 0; gathered_ && whole_ && k < k_padded_; k += kChunk)
      gather(k, smaller(kChunk, k_padded_ - k));
    for (int64_t n = args_.n_begin; n < args_.n_end;) {
      n = choose_columns(n);
      for (int s = 0; s < args_.n_segments; ++s) {
        const int64_t begin = s * segment_, end = begin + segment_;
        for (int64_t k = begin, count = 0; k < end; k += count) {
          count = smaller(chunk_ - k % chunk_, end - k);
          chunk(k, count, k == begin);
        }
        combine(s);
      }
      write();
    }
  }

 private:
  // The next tiles of columns; returns the column after them.
  int64_t choose_columns(int64_t n) {
    n_tiles_ = 0;
    while (n < args_.n_end && n_tiles_ < column_tiles_max_) {
      ColumnTile& tile = columns_[n_tiles_++];
      tile.n = n;
      tile.count = smaller(16, args_.n_end - n);
      if constexpr (P::kPromote) {
        tile.count = smaller(tile.count, kLinearBlock - n % kLinearBlock);
        tile.scales = args_.w_scales + n / kLinearBlock * (k_padded_ / kLinearBlock);
      }
      n += tile.count;
    }
    return n;
  }

  // The range's rows, which a list names, as tiles of k [k0, k0 + count) in the scratch: where
  // they belong among all of k, or alone.
  void gather(int64_t k0, int64_t count) {
    const int64_t n_blocks = count / kLinearBlock;
    const int64_t x_blocks = k_padded_ / kLinearBlock;
    for (int64_t m = 0; m < m_tiles_; ++m) {
      const uint16_t* rows[16];
      const int64_t n = smaller(16, n_rows_ - m * 16);
      auto* scales = const_cast<float*>(x_scales(m, k0, count));
      for (int64_t r = 0; r < n; ++r) {
        const int64_t row = args_.row(first_ + m * 16 + r);
        rows[r] = args_.tile.rows + row * args_.tile.row_stride;
        if constexpr (P::kPromote) {
          const float* from = args_.x_scales + row * x_blocks + k0 / kLinearBlock;
          for (int64_t b = 0; b < n_blocks; ++b) scales[b * 16 + r] = from[b];
        }
      }
      make_tiles(rows, n, k0, k0 + count, width_, const_cast<uint16_t*>(x_tiles(m, k0, count)));
    }
  }

  // k [k0, k0 + count) of all rows through the chosen columns.
  void chunk(int64_t k0, int64_t count, bool from_zero) {
    if (gathered_ && !whole_) gather(k0, count);
    TileProduct p;
    p.panel = scratch_.panel;
    p.x_row_bytes = 4 * width_;
    p.n_steps = count / kTileStep;
    p.from_zero = from_zero;
    for (int64_t i = 0; i < n_tiles_; i += 2) {
      const int64_t nt = smaller(2, n_tiles_ - i);
      for (int64_t t = 0; t < nt; ++t) {
        make_panel<P>(args_, columns_[i + t], k0, count, ahead(k0, i),
                      scratch_.panel + t * kPanelTile);
        p.w_scales[t] = columns_[i + t].scales + k0 / kLinearBlock;
      }
      for (int64_t m = 0; m < m_tiles_; m += 2) {
        const int64_t mt = smaller(2, m_tiles_ - m);
        for (int64_t j = 0; j < mt; ++j) {
          p.x[j] = x_tiles(m + j, k0, count);
          p.x_scales[j] = x_scales(m + j, k0, count);
          for (int64_t t = 0; t < nt; ++t) p.sums[t][j] = sums(part_, i + t, m + j);
        }
        fetch_ahead(k0, i, m);
        multiply_any<P::kPromote>(p, nt, mt, scratch_.block);
      }
    }
  }

  // The next chunk of the input, a share of it with each product.
  void fetch_ahead(int64_t k0, int64_t n_tile, int64_t m) {
    if (gathered_ || whole_ || k0 + kChunk >= k_padded_) return;
    const int64_t pair = 2 * kChunk * width_ * 2;  // bytes of two tiles of rows
    const int64_t share = (pair / 64 + n_tiles_ / 2) / ((n_tiles_ + 1) / 2) * 64;
    const char* next = reinterpret_cast<const char*>(x_tiles(m, k0 / kChunk * kChunk + kChunk, 0));
    const int64_t begin = n_tile / 2 * share;
    for (int64_t i = begin; i < smaller(begin + share, pair); i += 64)
      _mm_prefetch(next + i, _MM_HINT_T1);
  }

  // Bytes from a weight to the one that is fetched with it. Few rows: a little further in its row,
  // at the row's end in the columns that follow. Many: the same k of the next columns.
  int64_t ahead(int64_t k0, int64_t n_tile) const {
    const int64_t row = args_.k * P::kBytes;
    if (whole_) return k0 * P::kBytes + kAhead < row ? kAhead : kAhead + 31 * row;
    return n_tile + 2 < n_tiles_ ? 32 * row : kChunk * P::kBytes - n_tile * 16 * row;
  }

  const uint16_t* x_tiles(int64_t m, int64_t k0, int64_t count) const {
    if (!gathered_) {
      return args_.tile.tiles + tile_offset(args_.tile.n_tiles, width_, k_padded_,
                                            args_.tile.first_tile + first_ / 16 + m, k0);
    }
    if (whole_) return scratch_.tiles + tile_offset(m_tiles_, width_, k_padded_, m, k0);
    return scratch_.tiles + m * count * width_;
  }
  const float* x_scales(int64_t m, int64_t k0, int64_t count) const {
    if (gathered_ && !whole_) return scratch_.tile_scales + m * (count / kLinearBlock) * 16;
    const float* scales = gathered_ ? scratch_.tile_scales : args_.tile.tile_scales;
    const int64_t tile = gathered_ ? m : args_.tile.first_tile + first_ / 16 + m;
    return scales + (tile * (k_padded_ / kLinearBlock) + k0 / kLinearBlock) * 16;
  }
  float* sums(int part, int64_t n_tile, int64_t m_tile) const {
    return scratch_.sums + part * part_sums_ + (n_tile * m_tiles_ + m_tile) * kTileSums;
  }

  // Segment s is done: its sums join the tree ((0+1)+(2+3))+((4+5)+(6+7)), whose finished parts
  // wait below the one being summed.
  void combine(int s) {
    if (args_.n_segments == 1) return;
    for (int done = s + 1; done % 2 == 0; done /= 2) {
      --part_;
      const int64_t count = n_tiles_ * m_tiles_ * kTileSums;
      float* to = scratch_.sums + part_ * part_sums_;
      const float* from = to + part_sums_;
      for (int64_t i = 0; i < count; i += 16) {
        avx512::store(to + i, avx512::add(avx512::load(to + i), avx512::load(from + i)));
      }
    }
    if (s + 1 < args_.n_segments) ++part_;
  }

  void write() {
    for (int64_t m = 0; m < m_tiles_; ++m) {
      const int64_t n = smaller(16, n_rows_ - m * 16);
      for (int64_t i = 0; i < n_tiles_; ++i) {
        const ColumnTile& tile = columns_[i];
        const float* from = sums(0, i, m);
        float* y = args_.y + (first_ + m * 16) * args_.ldy + tile.n - args_.n_begin;
        F32 lines[16];
        FATHOM_UNROLL for (int r = 0; r < 16; ++r) lines[r] = avx512::load(from + r * 16);
        avx512::transpose_lanes(lines);
        const avx512::Mask mask = avx512::first_lanes(tile.count);
        FATHOM_UNROLL for (int r = 0; r < 16; ++r) {
          if (r < n) avx512::store(y + r * args_.ldy, lines[r], mask);
        }
      }
    }
  }

  const LinearRange& args_;
  TileScratch& scratch_;
  const int64_t first_, n_rows_, m_tiles_;
  const bool gathered_;
  const int64_t width_;
  const int64_t k_padded_;
  const int64_t segment_;
  bool whole_ = false;
  int64_t chunk_ = kChunk;
  int64_t part_sums_ = 0;
  int64_t column_tiles_max_ = 0;
  int64_t n_tiles_ = 0;
  int part_ = 0;
  ColumnTile columns_[kMaxColumnTiles];
};

template <class P>
void all_rows(const LinearRange& args) {
  for (int64_t first = 0; first < args.n_rows; first += kTaskRows) {
    Range<P>(args, first, smaller(kTaskRows, args.n_rows - first)).run();
  }
}

}  // namespace

void linear_range(const LinearRange& args) {
  if (args.tile.rows == nullptr || args.k == 0) {
    avx512::linear_range(args);
  } else if (args.w_type == WeightType::kE4m3) {
    all_rows<PanelE4m3>(args);
  } else {
    all_rows<PanelBf16>(args);
  }
}

void prepare_tiles(const PrepareTiles& args) {
  const int64_t n_blocks = args.k_padded / kLinearBlock;
  const uint16_t* rows[16];
  for (int64_t r = 0; r < args.n_rows; ++r) {
    uint16_t* row = args.rows + r * args.row_stride;
    rows[r] = row;
    PrepareRow pairs;
    pairs.x = args.x + r * args.ldx;
    pairs.k = args.k;
    pairs.k_padded = args.k_padded;
    pairs.rounding = args.rounding;
    pairs.scales = args.scales + r * n_blocks;
    avx512bf16::prepare_pairs(pairs, row);
    for (int64_t block = 0; block < n_blocks; ++block)
      args.tile_scales[block * 16 + r] = pairs.scales[block];
  }
  for (int64_t k = 0; k < args.k_padded; k += kChunk) {
    make_tiles(rows, args.n_rows, k, smaller(k + kChunk, args.k_padded), args.width,
               args.tiles + tile_offset(args.n_tiles, args.width, args.k_padded, args.tile, k));
  }
}

}  // namespace fathom::amx
