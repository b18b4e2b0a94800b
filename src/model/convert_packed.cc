#include "model/convert_packed.h"

#include <algorithm>
#include <atomic>
#include <unordered_set>

#include "io/json.h"
#include "io/printable.h"
#include "model/convert_shards.h"
#include "model/matrix_rows.h"
#include "model/quantization_report.h"
#include "model/weights.h"
#include "tensor/packed.h"

namespace fathom {

namespace {

// One panel, panel_bytes of them; false if a value cannot be packed.
bool pack_panel(Dtype dtype, const MatrixRows& rows, int64_t panel, float* scratch,
                std::byte* out) {
  const DtypeBlock block = dtype_block(dtype);
  const int64_t k = rows.k();
  rows.read(panel, scratch, k);
  for (int64_t c = 0; c < k; c += block.cols, out += block.bytes) {
    if (!pack_block(dtype, scratch + c, k, rows.rows_of(panel), std::min(block.cols, k - c), out))
      return false;
  }
  return true;
}

TensorSource packed(Dtype dtype, const Tensor& matrix, const Tensor* scales,
                    const std::string& where) {
  return [=](TensorSink& sink) -> Status {
    const MatrixRows rows(matrix, scales);
    const int64_t panel_bytes = matrix_bytes(dtype, kPackedRows, rows.k());
    const int64_t piece = static_cast<int64_t>(sink.scratch().size()) / panel_bytes;
    FATHOM_CHECK(piece > 0, "a panel has ", panel_bytes, " bytes");
    Buffer<float> scratch(sink.pool().n_threads() * kPackedRows * rows.k());
    std::byte* const out = sink.scratch().data();
    for (int64_t begin = 0; begin < rows.n_panels(); begin += piece) {
      const int64_t end = std::min(begin + piece, rows.n_panels());
      std::atomic<bool> ok{true};
      sink.pool().parallel_for(end - begin, [&](int64_t i, int thread) {
        float* const mine = scratch.data() + thread * kPackedRows * rows.k();
        if (!pack_panel(dtype, rows, begin + i, mine, out + i * panel_bytes)) ok = false;
      });
      if (!ok) {
        return invalid_error(where, " holds a value that ", dtype_name(dtype),
                             " cannot: not finite",
                             dtype == Dtype::kInt4 ? ", or larger than 65504" : "");
      }
      FATHOM_RETURN_IF_ERROR(
          sink.write(sink.scratch().first(static_cast<size_t>((end - begin) * panel_bytes))));
      rows.release(0, end);
    }
    return {};
  };
}

class Packer {
 public:
  Packer(const ModelConfig& config, const Checkpoint& checkpoint, const PackedFormats& formats)
      : checkpoint_(checkpoint), formats_(formats) {
    for (const ExpectedTensor& expected : expected_tensors(config)) {
      if (expected.optional) copies_.insert(expected.name);
    }
  }

  void add(const CheckpointTensor& entry) {
    const Tensor& t = entry.tensor;
    if (copies_.count(entry.name) != 0) {
      ++n_left_out;
      return;
    }
    if (const std::optional<Dtype> dtype = formats_.of_tensor(entry.name)) {
      const std::string where =
          str_cat("tensor ", printable(entry.name), " (", checkpoint_.file_of(entry.name), ")");
      tensors.push_back({stored_spec({entry.name, *dtype, t.shape}),
                         packed(*dtype, t, checkpoint_.find(scale_name(entry.name)), where)});
      scratch_bytes_min =
          std::max(scratch_bytes_min, matrix_bytes(*dtype, kPackedRows, t.shape[1]));
      return;
    }
    constexpr std::string_view kScale = "_scale_inv";
    const std::string_view name = entry.name;
    if (name.ends_with(kScale) && formats_.of_tensor(name.substr(0, name.size() - kScale.size())))
      return;
    tensors.push_back({{entry.name, t.dtype, t.shape}, copy_of(t.data, t.bytes())});
  }

  std::vector<OutputTensor> tensors;
  int64_t scratch_bytes_min = 0;
  int64_t n_left_out = 0;

 private:
  const Checkpoint& checkpoint_;
  const PackedFormats& formats_;
  std::unordered_set<std::string> copies_;
};

}  // namespace

Result<ConversionPlan> plan_pack(const ModelConfig& config, std::shared_ptr<const Checkpoint> owner,
                                 const PackedFormats& formats, int64_t shard_bytes) {
  const Checkpoint& checkpoint = *owner;
  FATHOM_RETURN_IF_ERROR(check_unpacked(config, checkpoint, "packed once more"));
  FATHOM_TRY(const CheckedTensors checked, check_input(config, checkpoint));
  ConversionPlan plan;
  const Json quantization = packed_formats_json(formats);
  plan.what = str_cat(checkpoint.files().describe(), " packed as ",
                      quantization.find("formats")->dump(), " in files of ", shard_bytes, " bytes");
  plan.notes = checked.notes;
  Packer packer(config, checkpoint, formats);
  for (const CheckpointTensor* entry : in_layer_order(config, checkpoint)) packer.add(*entry);
  if (packer.n_left_out > 0) {
    plan.notes.push_back(str_cat("left out: ", packer.n_left_out,
                                 packer.n_left_out == 1 ? " copy" : " copies",
                                 " of embedding and head, which are never read"));
  }
  plan.scratch_bytes_min = packer.scratch_bytes_min;
  distribute(std::move(packer.tensors), shard_bytes, plan);
  name_inputs(checkpoint, plan);
  FATHOM_TRY(plan.copies,
             files_to_copy(checkpoint.files(), {"config.json", std::string(kQuantizationReport)}));
  FATHOM_TRY(const FileBytes text,
             checkpoint.files().open_small("config.json", kSmallFileBytesMax));
  FATHOM_TRY(Json config_json, parse_json(text.text()));
  config_json.set("quantization_config", quantization);
  plan.texts.emplace_back("config.json", config_json.dump_pretty() + "\n");
  report_quantization(owner, plan);
  plan.owner = std::move(owner);
  return plan;
}

}  // namespace fathom
