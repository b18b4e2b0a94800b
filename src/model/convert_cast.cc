#include "model/convert_cast.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <unordered_set>

#include "base/math.h"
#include "io/json.h"
#include "io/printable.h"
#include "model/tensor_values.h"
#include "model/weights.h"
#include "model/weights_check.h"
#include "tensor/numeric.h"

namespace fathom {

namespace {

constexpr int64_t kBlock = 128;
constexpr std::string_view kConfig = "config.json";

// Bands of 128 rows (the last may have fewer) go through the scratch, several at a time:
// fill(row_begin, row_end, out) makes rows of the output, in any order and thread; false stops, and
// failed() says why. row_bytes are of the output.
using FillRows = std::function<bool(int64_t row_begin, int64_t row_end, std::byte* out)>;
Status in_bands(TensorSink& sink, int64_t n_rows, int64_t row_bytes, const FillRows& fill,
                const std::function<Error()>& failed,
                const std::function<void(int64_t row_end)>& done_to) {
  if (n_rows == 0 || row_bytes == 0) return {};
  const int64_t fitting = static_cast<int64_t>(sink.scratch().size()) / row_bytes;
  FATHOM_CHECK(fitting > 0, "a row has ", row_bytes, " bytes");
  // Whole bands if one fits; else parts of one, which need no more than their own rows.
  const int64_t piece_rows = fitting >= kBlock ? fitting / kBlock * kBlock : fitting;
  const int64_t task_rows = std::min(piece_rows, kBlock);
  for (int64_t begin = 0; begin < n_rows; begin += piece_rows) {
    const int64_t end = std::min(begin + piece_rows, n_rows);
    std::atomic<bool> ok{true};
    std::byte* const out = sink.scratch().data();
    const auto task = [&](int64_t t, int) {
      const int64_t first = begin + t * task_rows;
      if (!fill(first, std::min(first + task_rows, end), out + (first - begin) * row_bytes))
        ok = false;
    };
    sink.pool().parallel_for(ceil_div(end - begin, task_rows), task);
    if (!ok) return failed();
    FATHOM_RETURN_IF_ERROR(
        sink.write(sink.scratch().first(static_cast<size_t>((end - begin) * row_bytes))));
    done_to(end);
  }
  return {};
}

void release_rows(const Tensor& t, int64_t end) {
  release_pages(t.data, end * t.shape[1] * dtype_size(t.dtype));
}

TensorSource dequantised(const Tensor& q, const Tensor& scale, const std::string& where) {
  return [q, scale, where](TensorSink& sink) -> Status {
    const int64_t k = q.shape[1];
    const int64_t k_blocks = ceil_div(k, kBlock);
    const auto fill = [&](int64_t row_begin, int64_t row_end, std::byte* out) {
      bool nan = false;
      auto* const values = reinterpret_cast<Bf16*>(out);
      for (int64_t block = 0; block < k_blocks; ++block) {
        // A block holds at most 256 different values: 128 products a row become one table.
        std::array<Bf16, 256> table;
        int64_t table_of = -1;
        for (int64_t r = row_begin; r < row_end; ++r) {
          if (const int64_t row_block = r / kBlock; row_block != table_of) {
            table_of = row_block;
            const float s = value_at(scale, row_block * k_blocks + block);
            for (int code = 0; code < 256; ++code) {
              table[static_cast<size_t>(code)] =
                  f32_to_bf16(e4m3_to_f32(static_cast<E4M3>(code)) * s);
            }
          }
          const int64_t end = std::min((block + 1) * kBlock, k);
          for (int64_t c = block * kBlock; c < end; ++c) {
            const E4M3 code = q.as<E4M3>()[r * k + c];
            nan |= (code & 0x7f) == 0x7f;
            values[(r - row_begin) * k + c] = table[code];
          }
        }
      }
      return !nan;
    };
    const auto failed = [&] { return invalid_error(where, " holds a NaN; the file is damaged"); };
    return in_bands(sink, q.shape[0], k * 2, fill, failed,
                    [&](int64_t end) { release_rows(q, end); });
  };
}

TensorSource rounded_to_bf16(const Tensor& t) {
  return [t](TensorSink& sink) -> Status {
    const int64_t k = t.shape[1];
    const auto fill = [&](int64_t row_begin, int64_t row_end, std::byte* out) {
      auto* const values = reinterpret_cast<Bf16*>(out);
      for (int64_t i = row_begin * k; i < row_end * k; ++i)
        values[i - row_begin * k] = f32_to_bf16(value_at(t, i));
      return true;
    };
    const auto failed = [] { return Error{}; };
    return in_bands(sink, t.shape[0], k * 2, fill, failed,
                    [&](int64_t end) { release_rows(t, end); });
  };
}

// The scale of one block; not finite if a value of it is not.
float block_scale(const Tensor& t, int64_t row_block, int64_t k_block, bool ue8m0) {
  const int64_t k = t.shape[1];
  float amax = 0;
  for (int64_t r = row_block * kBlock; r < std::min((row_block + 1) * kBlock, t.shape[0]); ++r) {
    for (int64_t c = k_block * kBlock; c < std::min((k_block + 1) * kBlock, k); ++c) {
      const float magnitude = std::fabs(value_at(t, r * k + c));
      if (!(magnitude <= amax)) amax = magnitude;  // a NaN stays
      if (std::isnan(amax)) return amax;
    }
  }
  return std::isfinite(amax) ? fp8_scale(amax, ue8m0) : amax;
}

Error not_finite(const std::string& where) {
  return invalid_error(where, " holds a value that is not finite, which FP8 blocks cannot");
}

TensorSource scales_of(const Tensor& t, bool ue8m0, const std::string& where) {
  return [t, ue8m0, where](TensorSink& sink) -> Status {
    const int64_t k_blocks = ceil_div(t.shape[1], kBlock);
    // One row of scales is one band of the weight.
    const auto fill = [&](int64_t row_begin, int64_t row_end, std::byte* out) {
      auto* const scales = reinterpret_cast<float*>(out);
      for (int64_t block = row_begin * k_blocks; block < row_end * k_blocks; ++block) {
        const float s = block_scale(t, block / k_blocks, block % k_blocks, ue8m0);
        if (!std::isfinite(s)) return false;
        scales[block - row_begin * k_blocks] = s;
      }
      return true;
    };
    return in_bands(
        sink, ceil_div(t.shape[0], kBlock), k_blocks * 4, fill, [&] { return not_finite(where); },
        [&](int64_t end) { release_rows(t, std::min(end * kBlock, t.shape[0])); });
  };
}

TensorSource quantised(const Tensor& t, bool ue8m0, const std::string& where) {
  return [t, ue8m0, where](TensorSink& sink) -> Status {
    const int64_t k = t.shape[1];
    const int64_t k_blocks = ceil_div(k, kBlock);
    const auto fill = [&](int64_t row_begin, int64_t row_end, std::byte* out) {
      auto* const codes = reinterpret_cast<E4M3*>(out);
      for (int64_t block = 0; block < k_blocks; ++block) {
        float s = 0;
        int64_t scale_of = -1;
        for (int64_t r = row_begin; r < row_end; ++r) {
          if (r / kBlock != scale_of) {
            scale_of = r / kBlock;
            s = block_scale(t, scale_of, block, ue8m0);
            if (!std::isfinite(s)) return false;
          }
          for (int64_t c = block * kBlock; c < std::min((block + 1) * kBlock, k); ++c) {
            codes[(r - row_begin) * k + c] = f32_to_e4m3(value_at(t, r * k + c) / s);
          }
        }
      }
      return true;
    };
    return in_bands(
        sink, t.shape[0], k, fill, [&] { return not_finite(where); },
        [&](int64_t end) { release_rows(t, end); });
  };
}

// The plan's frame: the same files with tensors yet to come; config.json to be changed; everything
// else copied.
struct Frame {
  ConversionPlan plan;
  Json config;
};
Result<Frame> make_frame(const Checkpoint& checkpoint, std::shared_ptr<const Checkpoint> owner) {
  Frame frame;
  for (const Shard& shard : checkpoint.shards()) {
    frame.plan.files.push_back({shard.name, {}, shard.metadata});
    frame.plan.inputs.push_back(input_identity(checkpoint.files(), shard.name));
  }
  frame.plan.index = checkpoint.files().exists(kIndexName) || checkpoint.shards().size() > 1;
  FATHOM_TRY(frame.plan.copies, files_to_copy(checkpoint.files(), {std::string(kConfig)}));
  FATHOM_TRY(const FileBytes text, checkpoint.files().open_small(kConfig, kSmallFileBytesMax));
  FATHOM_TRY(frame.config, parse_json(text.text()));
  frame.plan.owner = std::move(owner);
  return frame;
}

ConversionPlan finish(Frame frame) {
  frame.plan.texts.emplace_back(kConfig, frame.config.dump_pretty() + "\n");
  // A shard that held nothing but scales.
  std::erase_if(frame.plan.files, [](const OutputFile& file) { return file.tensors.empty(); });
  return std::move(frame.plan);
}

std::string where_of(const Checkpoint& checkpoint, const std::string& name) {
  return str_cat("tensor ", printable(name), " (", checkpoint.file_of(name), ")");
}

}  // namespace

Result<ConversionPlan> plan_cast_to_bf16(const ModelConfig& config,
                                         std::shared_ptr<const Checkpoint> owner) {
  const Checkpoint& checkpoint = *owner;
  FATHOM_RETURN_IF_ERROR(check_unpacked(config, checkpoint, "BF16"));
  FATHOM_TRY(const CheckedTensors checked, check_input(config, checkpoint));
  FATHOM_TRY(Frame frame, make_frame(checkpoint, owner));
  frame.plan.notes = checked.notes;
  frame.plan.what = str_cat("BF16 of ", checkpoint.files().describe());
  for (const CheckpointTensor& entry : checkpoint.tensors()) {
    if (entry.name.ends_with("_scale_inv")) continue;
    const Tensor& t = entry.tensor;
    OutputTensor out{{entry.name, t.dtype, t.shape}, copy_of(t.data, t.bytes())};
    if (t.shape.size() == 2 && t.dtype != Dtype::kBF16) {
      out.spec.dtype = Dtype::kBF16;
      out.source = t.dtype == Dtype::kF8E4M3
                       ? dequantised(t, *checkpoint.find(scale_name(entry.name)),
                                     where_of(checkpoint, entry.name))
                       : rounded_to_bf16(t);
      frame.plan.scratch_bytes_min = std::max(frame.plan.scratch_bytes_min, t.shape[1] * 2);
    }
    frame.plan.files[entry.shard].tensors.push_back(std::move(out));
  }
  std::erase_if(frame.config.as_object(),
                [](const Json::Member& m) { return m.first == "quantization_config"; });
  for (Json::Member& member : frame.config.as_object()) {
    if (member.first == "torch_dtype" || member.first == "dtype") member.second = Json("bfloat16");
  }
  return finish(std::move(frame));
}

Result<ConversionPlan> plan_cast_to_fp8(const ModelConfig& config,
                                        std::shared_ptr<const Checkpoint> owner, bool ue8m0) {
  const Checkpoint& checkpoint = *owner;
  FATHOM_RETURN_IF_ERROR(check_unpacked(config, checkpoint, "FP8"));
  if (config.quantization_config) {
    return invalid_error(checkpoint.files().describe(),
                         " is FP8 already (quantization_config in its config.json); "
                         "to quantise it anew, cast it to BF16 first");
  }
  FATHOM_TRY(const CheckedTensors checked, check_input(config, checkpoint));
  FATHOM_TRY(Frame frame, make_frame(checkpoint, owner));
  frame.plan.notes = checked.notes;
  frame.plan.what = str_cat(ue8m0 ? "FP8 (ue8m0) of " : "FP8 of ", checkpoint.files().describe());
  std::unordered_set<std::string> to_quantise;
  for (const ExpectedTensor& expected : expected_tensors(config)) {
    if (expected.quantised) to_quantise.insert(expected.name);
  }
  for (const CheckpointTensor& entry : checkpoint.tensors()) {
    const Tensor& t = entry.tensor;
    std::vector<OutputTensor>& tensors = frame.plan.files[entry.shard].tensors;
    if (to_quantise.count(entry.name) == 0) {
      tensors.push_back({{entry.name, t.dtype, t.shape}, copy_of(t.data, t.bytes())});
      continue;
    }
    const std::string where = where_of(checkpoint, entry.name);
    const std::vector<int64_t> grid = {ceil_div(t.shape[0], kBlock), ceil_div(t.shape[1], kBlock)};
    tensors.push_back({{entry.name, Dtype::kF8E4M3, t.shape}, quantised(t, ue8m0, where)});
    tensors.push_back({{scale_name(entry.name), Dtype::kF32, grid}, scales_of(t, ue8m0, where)});
    frame.plan.scratch_bytes_min =
        std::max(frame.plan.scratch_bytes_min, std::max(t.shape[1], grid[1] * 4));
  }
  Json::Object quantization = {
      {"activation_scheme", "dynamic"}, {"fmt", "e4m3"}, {"quant_method", "fp8"}};
  if (ue8m0) quantization.emplace_back("scale_fmt", "ue8m0");
  quantization.emplace_back("weight_block_size", Json::Array{Json(128), Json(128)});
  frame.config.set("quantization_config", Json(std::move(quantization)));
  return finish(std::move(frame));
}

}  // namespace fathom
