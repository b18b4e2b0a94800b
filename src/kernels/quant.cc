#include "kernels/quant.h"

#include <algorithm>

#include "base/check.h"
#include "base/math.h"
#include "kernels/linear_table.h"
#include "kernels/quant_args.h"

namespace fathom {

namespace {

QuantType quant_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::kInt8:
      return QuantType::kInt8;
    case Dtype::kInt4:
      return QuantType::kInt4;
    case Dtype::kQ8_0:
      return QuantType::kQ8_0;
    case Dtype::kQ4_0:
      return QuantType::kQ4_0;
    case Dtype::kQ4_1:
      return QuantType::kQ4_1;
    case Dtype::kQ5_0:
      return QuantType::kQ5_0;
    case Dtype::kQ5_1:
      return QuantType::kQ5_1;
    case Dtype::kQ4_K:
      return QuantType::kQ4_K;
    case Dtype::kQ5_K:
      return QuantType::kQ5_K;
    case Dtype::kQ6_K:
      return QuantType::kQ6_K;
    default:
      break;
  }
  FATHOM_CHECK(false, dtype_name(dtype), " is no block type");
}

// Bytes from row to row, packed: from panel to panel.
int64_t stride_of(const LinearWeight& w) {
  const DtypeBlock block = dtype_block(w.dtype);
  return ceil_div(w.k, block.cols) * block.bytes;
}

// The weight's part of a range.
QuantRange range_of(const LinearWeight& w) {
  QuantRange args;
  args.type = quant_type(w.dtype);
  args.w = static_cast<const char*>(w.data);
  args.w_stride = stride_of(w);
  args.k = w.k;
  args.n_segments = w.n_segments;
  return args;
}

constexpr int64_t kWidenedRows = 16;

// Rows [n, n + 16) of the weight that are below n_end, as F32.
void widen(Isa isa, const LinearWeight& w, int64_t n, int64_t n_end, float* out) {
  if (const auto widen_all = linear_kernels(isa).quant_widen; widen_all != nullptr) {
    QuantRange args = range_of(w);
    args.n_end = n_end;
    widen_all(args, n, out, w.k);
    return;
  }
  for (int64_t i = 0; i < std::min(kWidenedRows, n_end - n); ++i)
    quant_row(w, n + i, 0, w.k, out + i * w.k);
}

// F32 inputs: 16 rows of the weight at a time, widened, are a layer of F32 weights. Steps begin at
// multiples of 16, where panels do.
void widened_range(Isa isa, const LinearInput& x, const LinearWeight& w, const int32_t* rows,
                   int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, float* y,
                   int64_t ldy) {
  // Kept by its thread: a step takes no memory once the largest layer was seen.
  static thread_local Buffer<float> widened;
  if (widened.size() < kWidenedRows * w.k) widened = Buffer<float>(kWidenedRows * w.k);
  for (int64_t n0 = n_begin / kWidenedRows * kWidenedRows; n0 < n_end; n0 += kWidenedRows) {
    const int64_t skip = std::max<int64_t>(0, n_begin - n0);
    widen(isa, w, n0, n_end, widened.data());
    const int64_t first = rows == nullptr ? m_begin : 0;
    LinearRange args;
    args.x = x.row(first);
    args.x_stride = x.row_stride();
    args.x_scales = x.scales(first);
    args.x_scale_stride = x.scale_stride();
    args.rows = rows == nullptr ? nullptr : rows + m_begin;
    args.n_rows = m_end - m_begin;
    args.w_type = WeightType::kF32;
    args.w = reinterpret_cast<const char*>(widened.data() + skip * w.k);
    args.k = w.k;
    args.n_begin = 0;
    args.n_end = std::min(kWidenedRows, n_end - n0) - skip;
    args.n_segments = w.n_segments;
    args.y = y + (n0 + skip - n_begin);
    args.ldy = ldy;
    linear_kernels(isa).range(args);
  }
}

}  // namespace

InputFormat quant_input_format(Dtype weight) {
  switch (quant_format(quant_type(weight)).group) {
    case 16:
      return InputFormat::kInt8Tiles16;
    case 32:
      return InputFormat::kInt8Tiles32;
    case 64:
      return InputFormat::kInt8Tiles64;
    default:
      return InputFormat::kInt8Tiles128;
  }
}

bool quant_accepts(Dtype weight, InputFormat format) {
  return format == InputFormat::kF32 || format == InputFormat::kBf16Rounded ||
         format == quant_input_format(weight);
}

void quant_range(Isa isa, const LinearInput& x, const LinearWeight& w, const int32_t* rows,
                 int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, float* y,
                 int64_t ldy) {
  const QuantFormat format = quant_format(quant_type(w.dtype));
  FATHOM_CHECK(format.packed || w.k % format.block == 0, dtype_name(w.dtype), " weight of ", w.k,
               " columns, which are no whole blocks");
  if (!is_int8(x.format())) {
    widened_range(isa, x, w, rows, m_begin, m_end, n_begin, n_end, y, ldy);
    return;
  }
  const int64_t first = rows == nullptr ? m_begin : 0;
  QuantRange args = range_of(w);
  args.x = x.codes(first);
  args.x_stride = x.code_stride();
  args.x_scales = x.scales(first);
  args.x_sums = x.code_sums(first);
  args.x_tile_stride = x.scale_stride();
  args.rows = rows == nullptr ? nullptr : rows + m_begin;
  args.n_rows = m_end - m_begin;
  args.n_begin = n_begin;
  args.n_end = n_end;
  args.y = y;
  args.ldy = ldy;
  linear_kernels(isa).quant_range(args);
}

void quant_row(const LinearWeight& w, int64_t row, int64_t k_begin, int64_t k_end, float* out) {
  ref::quant_weight_row(quant_type(w.dtype), static_cast<const char*>(w.data), stride_of(w), row,
                        k_begin, k_end, out);
}

}  // namespace fathom
