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
#include "kernels/x86/tiles_amx.h"
#include "kernels/x86/weights_avx512.h"

namespace fathom::amx {
namespace {

using avx512::F32;

constexpr int64_t kChunk = kTileChunk;  // k of a panel
constexpr int64_t kAhead = 512;         // bytes of a row between what is used and fetched
constexpr int64_t kTileSums = 16 * 16;  // of one tile
constexpr int64_t kMaxColumnTiles = 32;
constexpr int kMaxParts = 4;  // partial sums of a tree of 8 segments, the running one included

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t ceil_tiles(int64_t n) { return (n + 15) / 16; }

// ---- weights

// 64 codes as two lines of 32 BF16.
FATHOM_INLINE void widen_e4m3(__m512i codes, __m512i* out) {
  // Quads of bytes move so that unpacking within lanes of 128 bits ends in ascending order.
  codes = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), codes);
  __m512i high = _mm512_permutex2var_epi8(_mm512_load_si512(avx512::kE4m3Tables.high), codes,
                                          _mm512_load_si512(avx512::kE4m3Tables.high + 64));
  const __m512i low = _mm512_permutex2var_epi8(_mm512_load_si512(avx512::kE4m3Tables.low), codes,
                                               _mm512_load_si512(avx512::kE4m3Tables.low + 64));
  high = _mm512_ternarylogic_epi32(high, codes, _mm512_set1_epi32(static_cast<int>(0x80808080u)),
                                   0xf8);  // high | (codes & 0x80): the sign
  out[0] = _mm512_unpacklo_epi8(low, high);
  out[1] = _mm512_unpackhi_epi8(low, high);
}

struct PanelE4m3 {
  static constexpr int64_t kBytes = 1;
  static constexpr bool kPromote = true;
  // 64 values of a row, of which n are there, to two tiles.
  FATHOM_INLINE void widen(const char* p, int64_t n, uint16_t* out) {
    const __m512i codes =
        n >= 64 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8((uint64_t{1} << n) - 1, p);
    __m512i lines[2];
    widen_e4m3(codes, lines);
    _mm512_store_si512(out, lines[0]);
    _mm512_store_si512(out + 512, lines[1]);
  }
};

struct PanelBf16 {
  static constexpr int64_t kBytes = 2;
  static constexpr bool kPromote = false;
  FATHOM_INLINE void widen(const char* p, int64_t n, uint16_t* out) {
    for (int half = 0; half < 2; ++half, n -= 32) {
      const __m512i line = n >= 32 ? _mm512_loadu_si512(p + half * 64)
                           : n <= 0
                               ? _mm512_setzero_si512()
                               : _mm512_maskz_loadu_epi16((uint32_t{1} << n) - 1, p + half * 64);
      _mm512_store_si512(out + half * 512, line);
    }
  }
};

// 16 columns of y, or what is left of them up to the end of the range or of a block of scales.
struct ColumnTile {
  int64_t n = 0;
  int64_t count = 0;
  const float* scales = nullptr;  // of its row of blocks
};

// k [k0, k0 + count) of a tile of columns; what stands `ahead` bytes further is fetched.
template <class P>
void make_panel(const LinearRange& args, const ColumnTile& tile, int64_t k0, int64_t count,
                int64_t ahead, uint16_t* out) {
  for (int64_t r = 0; r < 16; ++r) {
    uint16_t* line = out + r * 32;
    if (r >= tile.count) {
      for (int64_t k = 0; k < count; k += 32)
        _mm512_store_si512(line + k * 16, _mm512_setzero_si512());
      continue;
    }
    const char* w = args.w + ((tile.n + r) * args.k + k0) * P::kBytes;
    const char* next = w + ahead;
    const int64_t there = args.k - k0;  // beyond are the zeros that pad k
    for (int64_t k = 0; k < count; k += 64) {
      FATHOM_UNROLL for (int64_t b = 0; b < P::kBytes; ++b)
          _mm_prefetch(next + k * P::kBytes + b * 64, _MM_HINT_T1);
      P::widen(w + k * P::kBytes, there > k ? there - k : 0, line + k * 16);
    }
  }
}

// ---- products

// NT tiles of columns by MT tiles of rows over one chunk of k.
struct TileProduct {
  const uint16_t* panel;  // [2][kChunk / 32][16][32]
  const uint16_t* x[2];   // tiles of each tile of rows at the chunk's first k
  int64_t x_row_bytes;
  int64_t n_steps;
  const float* w_scales[2];  // from the chunk's first block on
  const float* x_scales[2];  // [blocks, 16]
  float* sums[2][2];
  bool from_zero;
};

constexpr int64_t kPanelTile = kChunk / 32 * 512;  // values of the panel of one tile of columns

template <int NT, int MT>
FATHOM_INLINE void zero_sums() {
  _tile_zero(0);
  if constexpr (MT > 1) _tile_zero(1);
  if constexpr (NT > 1) _tile_zero(2);
  if constexpr (NT > 1 && MT > 1) _tile_zero(3);
}

template <int NT, int MT>
FATHOM_INLINE void load_sums(float* const (&from)[2][2]) {
  _tile_loadd(0, from[0][0], 64);
  if constexpr (MT > 1) _tile_loadd(1, from[0][1], 64);
  if constexpr (NT > 1) _tile_loadd(2, from[1][0], 64);
  if constexpr (NT > 1 && MT > 1) _tile_loadd(3, from[1][1], 64);
}

template <int NT, int MT>
FATHOM_INLINE void store_sums(float* const (&to)[2][2]) {
  _tile_stored(0, to[0][0], 64);
  if constexpr (MT > 1) _tile_stored(1, to[0][1], 64);
  if constexpr (NT > 1) _tile_stored(2, to[1][0], 64);
  if constexpr (NT > 1 && MT > 1) _tile_stored(3, to[1][1], 64);
}

// One step of 32 k.
template <int NT, int MT>
FATHOM_INLINE void multiply_step(const TileProduct& p, int64_t s) {
  const uint16_t* w = p.panel + s * 512;
  const int64_t x = s * p.x_row_bytes * 8;  // values: 16 pairs of x_row_bytes / 2
  _tile_loadd(4, w, 64);
  _tile_loadd(6, p.x[0] + x, p.x_row_bytes);
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (MT > 1) {
    _tile_loadd(7, p.x[1] + x, p.x_row_bytes);
    _tile_dpbf16ps(1, 4, 7);
  }
  if constexpr (NT > 1) {
    _tile_loadd(5, w + kPanelTile, 64);
    _tile_dpbf16ps(2, 5, 6);
    if constexpr (MT > 1) _tile_dpbf16ps(3, 5, 7);
  }
}

// running = fma(block, s_x * s_w, running) for tile [i][j] of block b of the chunk.
FATHOM_INLINE void promote(const TileProduct& p, const float* block, int i, int j, int64_t b) {
  const F32 scale =
      avx512::mul(avx512::load(p.x_scales[j] + b * 16), avx512::set1(p.w_scales[i][b]));
  const float* from = block + (2 * i + j) * kTileSums;
  float* running = p.sums[i][j];
  if (p.from_zero && b == 0) {
    FATHOM_UNROLL for (int r = 0; r < 16; ++r) avx512::store(
        running + r * 16, avx512::fma(avx512::load(from + r * 16), scale, avx512::zero()));
  } else {
    FATHOM_UNROLL for (int r = 0; r < 16; ++r) avx512::store(
        running + r * 16,
        avx512::fma(avx512::load(from + r * 16), scale, avx512::load(running + r * 16)));
  }
}

template <int NT, int MT>
[[gnu::noinline]] void multiply_plain(const TileProduct& p) {
  memory_is_read();
  if (p.from_zero) {
    zero_sums<NT, MT>();
  } else {
    load_sums<NT, MT>(p.sums);
  }
  for (int64_t s = 0; s < p.n_steps; ++s) multiply_step<NT, MT>(p, s);
  store_sums<NT, MT>(p.sums);
}

// Blocks of 128: while the tiles multiply one, the vectors promote the one before, a tile a step.
template <int NT, int MT>
[[gnu::noinline]] void multiply_promoted(const TileProduct& p, float* scratch) {
  memory_is_read();
  const int64_t n_blocks = p.n_steps / 4;
  for (int64_t b = 0; b <= n_blocks; ++b) {
    float* block = scratch + b % 2 * 4 * kTileSums;
    const float* before = scratch + (b + 1) % 2 * 4 * kTileSums;
    if (b < n_blocks) zero_sums<NT, MT>();
    FATHOM_UNROLL for (int s = 0; s < 4; ++s) {
      if (b < n_blocks) multiply_step<NT, MT>(p, 4 * b + s);
      if (b > 0 && s / 2 < NT && s % 2 < MT) promote(p, before, s / 2, s % 2, b - 1);
    }
    if (b == n_blocks) return;
    float* const to[2][2] = {{block, block + kTileSums},
                             {block + 2 * kTileSums, block + 3 * kTileSums}};
    store_sums<NT, MT>(to);
  }
}

template <bool kPromote, int NT, int MT>
void multiply(const TileProduct& p, float* scratch) {
  if constexpr (kPromote) {
    multiply_promoted<NT, MT>(p, scratch);
  } else {
    multiply_plain<NT, MT>(p);
  }
}

template <bool kPromote>
void multiply_any(const TileProduct& p, int64_t n_tiles, int64_t m_tiles, float* block) {
  if (n_tiles == 2 && m_tiles == 2) return multiply<kPromote, 2, 2>(p, block);
  if (n_tiles == 2) return multiply<kPromote, 2, 1>(p, block);
  if (m_tiles == 2) return multiply<kPromote, 1, 2>(p, block);
  multiply<kPromote, 1, 1>(p, block);
}

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
    for (int64_t k0 = 0; k0 < args.k_padded; k0 += kLinearBlock) {
      alignas(64) float values[kLinearBlock];
      PrepareRow tile;
      tile.x = args.x + r * args.ldx + k0;
      tile.k = smaller(kLinearBlock, args.k - k0);
      tile.k_padded = kLinearBlock;
      tile.rounding = args.rounding;
      tile.out = values;
      tile.scales = args.scales + r * n_blocks + k0 / kLinearBlock;
      avx512::prepare_row(tile);
      for (int64_t k = 0; k < kLinearBlock; k += 16)
        avx512::store_bf16(row + k0 + k, avx512::load(values + k), avx512::first_lanes(16));
      args.tile_scales[k0 / kLinearBlock * 16 + r] = *tile.scales;
    }
  }
  for (int64_t k = 0; k < args.k_padded; k += kChunk) {
    make_tiles(rows, args.n_rows, k, smaller(k + kChunk, args.k_padded), args.width,
               args.tiles + tile_offset(args.n_tiles, args.width, args.k_padded, args.tile, k));
  }
}

}  // namespace fathom::amx
