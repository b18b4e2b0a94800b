// Inputs of linear layers: rounding, quantising and padding of rows, done once for all layers that
// read them.
#include <algorithm>

#include "base/check.h"
#include "base/math.h"
#include "kernels/linear.h"
#include "kernels/linear_table.h"
#include "kernels/quant.h"
#include "tensor/numeric.h"

namespace fathom {

namespace {

// Five lines of cache beyond the padded row keep rows whose length is a power of two out of each
// other's sets and banks: three rows at a time against four columns took 5 % more with one line.
constexpr int64_t kRowSkew = 80;

int64_t row_floats(int64_t k) { return round_up(k, kLinearBlock) + kRowSkew; }
int64_t row_pairs(int64_t k) { return round_up(k, kLinearBlock) / 2 + kRowSkew; }
int64_t row_codes(int64_t k) { return round_up(k, kLinearBlock) + 64; }
int64_t tile_row_stride(int64_t k) { return round_up(k, kLinearBlock) + 32; }

RowRounding rounding_of(InputFormat format) {
  switch (format) {
    case InputFormat::kF32:
      return RowRounding::kNone;
    case InputFormat::kBf16:
    case InputFormat::kBf16Rounded:
    case InputFormat::kBf16ForFp8:
      return RowRounding::kBf16;
    case InputFormat::kFp8:
      return RowRounding::kE4m3;
    case InputFormat::kFp8Ue8m0:
      return RowRounding::kE4m3Ue8m0;
    default:
      break;
  }
  return RowRounding::kNone;
}

}  // namespace

InputFormat input_format(Activations activations, Dtype weight_dtype) {
  const bool fp8_weight = weight_dtype == Dtype::kF8E4M3;
  switch (activations) {
    case Activations::kFull:
      return InputFormat::kF32;
    case Activations::kBf16:
      if (fp8_weight) return InputFormat::kBf16ForFp8;
      return weight_dtype == Dtype::kBF16 ? InputFormat::kBf16 : InputFormat::kBf16Rounded;
    case Activations::kFp8:
      return fp8_weight ? InputFormat::kFp8 : InputFormat::kF32;
    case Activations::kFp8Ue8m0:
      return fp8_weight ? InputFormat::kFp8Ue8m0 : InputFormat::kF32;
    case Activations::kInt8:
      return is_block_type(weight_dtype) ? quant_input_format(weight_dtype) : InputFormat::kF32;
  }
  return InputFormat::kF32;
}

int64_t input_tile(InputFormat format) {
  switch (format) {
    case InputFormat::kInt8Tiles64:
      return 64;
    case InputFormat::kInt8Tiles32:
      return 32;
    case InputFormat::kInt8Tiles16:
      return 16;
    default:
      return kLinearBlock;
  }
}

LinearInput::LinearInput(int64_t max_rows, int64_t max_k)
    : max_rows_(max_rows),
      max_k_(max_k),
      values_(round_up(max_rows, kRowStep) * row_floats(max_k)),
      scales_(max_rows * round_up(max_k, kLinearBlock) / kMinQuantGroup),
      sums_(scales_.size()),
      tile_scales_(round_up(max_rows, kRowStep) * ceil_div(max_k, kLinearBlock)) {}

void LinearInput::begin(Isa isa, int64_t m, int64_t k, InputFormat format) {
  FATHOM_CHECK(m >= 0 && m <= max_rows_ && k >= 0 && k <= max_k_, "input [", m, ", ", k,
               "] in room for [", max_rows_, ", ", max_k_, "]");
  isa_ = isa;
  m_ = m;
  k_ = k;
  format_ = format;
}

int64_t LinearInput::bytes() const {
  return values_.bytes() + scales_.bytes() + sums_.bytes() + tile_scales_.bytes();
}

bool LinearInput::has_bf16_values() const {
  return format_ == InputFormat::kBf16 || format_ == InputFormat::kBf16ForFp8 ||
         format_ == InputFormat::kFp8 || format_ == InputFormat::kFp8Ue8m0;
}
bool LinearInput::tiled() const {
  return has_bf16_values() && linear_kernels(isa_).prepare_tiles != nullptr;
}
bool LinearInput::paired() const {
  return has_bf16_values() && linear_kernels(isa_).prepare_pairs != nullptr;
}

void LinearInput::prepare_rows(const float* x, int64_t ldx, int64_t row_begin, int64_t row_end) {
  FATHOM_CHECK(row_begin >= 0 && row_begin <= row_end && row_end <= m_ &&
                   row_begin % kRowStep == 0 && (row_end % kRowStep == 0 || row_end == m_),
               "rows ", row_begin, " to ", row_end, " of ", m_);
  if (is_int8(format_)) {
    prepare_int8_rows(x, ldx, row_begin, row_end);
    return;
  }
  const LinearKernels& kernels = linear_kernels(isa_);
  if (tiled()) {
    for (int64_t m = row_begin; m < row_end; m += kRowStep) {
      PrepareTiles args;
      args.x = x + (m - row_begin) * ldx;
      args.ldx = ldx;
      args.n_rows = std::min(kRowStep, row_end - m);
      args.k = k_;
      args.k_padded = round_up(k_, kLinearBlock);
      args.rounding = rounding_of(format_);
      args.rows = tile_row(m);
      args.row_stride = tile_row_stride(k_);
      args.scales = scales_.data() + m * ceil_div(k_, kLinearBlock);
      args.tiles = tiles();
      args.tile_scales = tile_scales(m);
      args.width = std::min(kTileRows, m_);
      args.n_tiles = ceil_div(m_, kTileRows);
      args.tile = m / kTileRows;
      kernels.prepare_tiles(args);
    }
    return;
  }
  for (int64_t m = row_begin; m < row_end; ++m) {
    PrepareRow args;
    args.x = x + (m - row_begin) * ldx;
    args.k = k_;
    args.k_padded = round_up(k_, kLinearBlock);
    args.rounding = rounding_of(format_);
    args.scales = scales_.data() + m * ceil_div(k_, kLinearBlock);
    float* const out = values_.data() + m * row_stride();
    if (paired()) {
      kernels.prepare_pairs(args, reinterpret_cast<uint16_t*>(out));
    } else {
      args.out = out;
      kernels.prepare_row(args);
    }
  }
}

void LinearInput::prepare_int8_rows(const float* x, int64_t ldx, int64_t row_begin,
                                    int64_t row_end) {
  for (int64_t m = row_begin; m < row_end; ++m) {
    PrepareInt8 args;
    args.x = x + (m - row_begin) * ldx;
    args.k = k_;
    args.k_padded = round_up(k_, kLinearBlock);
    args.tile = input_tile(format_);
    args.codes = reinterpret_cast<int8_t*>(values_.data()) + m * row_codes(k_);
    args.scales = scales_.data() + m * scale_stride();
    args.sums = sums_.data() + m * scale_stride();
    linear_kernels(isa_).prepare_int8(args);
  }
}

void LinearInput::prepare(const Compute& compute, const float* x, int64_t ldx, int64_t m, int64_t k,
                          InputFormat format) {
  begin(compute.isa, m, k, format);
  // A task of 16K values takes several microseconds, more than handing it out.
  const int64_t rows = round_up(std::max<int64_t>(1, 16384 / std::max<int64_t>(1, k)), kRowStep);
  compute.pool->parallel_for(ceil_div(m, rows), [&](int64_t task, int) {
    prepare_rows(x + task * rows * ldx, ldx, task * rows, std::min(m, (task + 1) * rows));
  });
}

const float* LinearInput::row(int64_t m) const { return values_.data() + m * row_stride(); }
int64_t LinearInput::row_stride() const { return paired() ? row_pairs(k_) : row_floats(k_); }

uint16_t* LinearInput::tile_row(int64_t m) {
  return reinterpret_cast<uint16_t*>(values_.data()) + m * tile_row_stride(k_);
}
// The second half of the memory, beyond the rows.
uint16_t* LinearInput::tiles() {
  return reinterpret_cast<uint16_t*>(values_.data()) + round_up(m_, kRowStep) * tile_row_stride(k_);
}
float* LinearInput::tile_scales(int64_t m) {
  return tile_scales_.data() + m * ceil_div(k_, kLinearBlock);
}

TileInput LinearInput::tile_input(int64_t first_row, bool tiles) const {
  auto* self = const_cast<LinearInput*>(this);  // nothing is written through what it gives
  TileInput out;
  out.rows = self->tile_row(0);
  out.row_stride = tile_row_stride(k_);
  out.width = std::min(kTileRows, m_);
  if (tiles && first_row % kRowStep == 0) {
    out.tiles = self->tiles();
    out.tile_scales = self->tile_scales(0);
    out.n_tiles = ceil_div(m_, kTileRows);
    out.first_tile = first_row / kTileRows;
  } else {
    out.rows += tiles ? first_row * out.row_stride : 0;
  }
  return out;
}

float LinearInput::value(int64_t m, int64_t k) const {
  if (paired()) return bf16_to_f32(reinterpret_cast<const uint16_t*>(row(m))[k]);
  if (!tiled()) return row(m)[k];
  return bf16_to_f32(const_cast<LinearInput*>(this)->tile_row(m)[k]);
}
const float* LinearInput::scales(int64_t m) const { return scales_.data() + m * scale_stride(); }
int64_t LinearInput::scale_stride() const {
  return round_up(k_, kLinearBlock) / input_tile(format_);
}
const int8_t* LinearInput::codes(int64_t m) const {
  return reinterpret_cast<const int8_t*>(values_.data()) + m * row_codes(k_);
}
int64_t LinearInput::code_stride() const { return row_codes(k_); }
const int32_t* LinearInput::code_sums(int64_t m) const { return sums_.data() + m * scale_stride(); }

}  // namespace fathom
