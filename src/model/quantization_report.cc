#include "model/quantization_report.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "model/conversion.h"
#include "model/matrix_rows.h"
#include "model/weights_check.h"

namespace fathom {

namespace {

struct Error2 {  // sums of squares
  double error = 0;
  double weight = 0;
  Error2& operator+=(const Error2& other) {
    error += other.error;
    weight += other.weight;
    return *this;
  }
  double relative() const { return weight > 0 ? std::sqrt(error / weight) : 0; }
};

Error2 compare_panel(const MatrixRows& before, const MatrixRows& after, int64_t panel,
                     float* scratch) {
  const int64_t k = before.k();
  const int64_t n = before.rows_of(panel) * k;
  float* const w = scratch;
  float* const v = scratch + kPackedRows * k;
  before.read(panel, w, k);
  after.read(panel, v, k);
  Error2 sum;
  for (int64_t i = 0; i < n; ++i) {
    const double d = double{v[i]} - double{w[i]};
    sum.error += d * d;
    sum.weight += double{w[i]} * double{w[i]};
  }
  return sum;
}

Error2 compare(const MatrixRows& before, const MatrixRows& after, Pool& pool) {
  Buffer<float> scratch(pool.n_threads() * 2 * kPackedRows * before.k());
  std::vector<Error2> panels(static_cast<size_t>(before.n_panels()));
  pool.parallel_for(before.n_panels(), [&](int64_t panel, int thread) {
    panels[static_cast<size_t>(panel)] =
        compare_panel(before, after, panel, scratch.data() + thread * 2 * kPackedRows * before.k());
  });
  before.release(0, before.n_panels());
  after.release(0, after.n_panels());
  Error2 sum;
  for (const Error2& panel : panels) sum += panel;
  return sum;
}

struct Matrix {
  const Tensor* tensor;
  const Tensor* scales;  // null if it has none
  int64_t bytes() const { return tensor->bytes() + (scales == nullptr ? 0 : scales->bytes()); }
};
Matrix matrix_of(const Checkpoint& checkpoint, const std::string& name) {
  return {checkpoint.find(name), checkpoint.find(scale_name(name))};
}

// All matrices of a kind that went from one format to another.
struct Kind {
  std::string name;
  Dtype from, to;
  int64_t n_tensors = 0, n_weights = 0, bytes_before = 0, bytes = 0;
  Error2 error;
  std::string worst;
  double worst_error = -1;
};

class Report {
 public:
  void add(const std::string& name, const Matrix& before, const Matrix& after,
           const Error2& error) {
    const std::optional<WeightKind> known = weight_kind(name);
    const std::string kind_name(known ? weight_kind_name(*known) : "other");
    const Dtype from = before.tensor->dtype, to = after.tensor->dtype;
    Kind& kind = find(kind_name, from, to);
    ++kind.n_tensors;
    kind.n_weights += before.tensor->elements();
    kind.bytes_before += before.bytes();
    kind.bytes += after.bytes();
    kind.error += error;
    if (error.relative() > kind.worst_error) {
      kind.worst_error = error.relative();
      kind.worst = name;
    }
    Json shape = Json::array();
    for (const int64_t extent : before.tensor->shape) shape.push_back(extent);
    tensors_.push_back(Json::Object{{"name", name},
                                    {"kind", kind_name},
                                    {"from", dtype_name(from)},
                                    {"to", dtype_name(to)},
                                    {"shape", std::move(shape)},
                                    {"bytes_before", before.bytes()},
                                    {"bytes", after.bytes()},
                                    {"relative_rms_error", error.relative()}});
  }
  void keep(const Tensor& tensor) {
    ++n_kept_;
    kept_bytes_ += tensor.bytes();
  }

  Json json(int64_t bytes_before, int64_t bytes) && {
    Json kinds = Json::array();
    for (const Kind& kind : kinds_) {
      kinds.push_back(Json::Object{
          {"kind", kind.name},
          {"from", dtype_name(kind.from)},
          {"to", dtype_name(kind.to)},
          {"n_tensors", kind.n_tensors},
          {"n_weights", kind.n_weights},
          {"bytes_before", kind.bytes_before},
          {"bytes", kind.bytes},
          {"relative_rms_error", kind.error.relative()},
          {"worst", Json::Object{{"name", kind.worst}, {"relative_rms_error", kind.worst_error}}}});
    }
    return Json::Object{{"tensors", std::move(tensors_)},
                        {"kinds", std::move(kinds)},
                        {"kept", Json::Object{{"n_tensors", n_kept_}, {"bytes", kept_bytes_}}},
                        {"total", Json::Object{{"bytes_before", bytes_before}, {"bytes", bytes}}}};
  }

 private:
  Kind& find(const std::string& name, Dtype from, Dtype to) {
    for (Kind& kind : kinds_) {
      if (kind.name == name && kind.from == from && kind.to == to) return kind;
    }
    Kind kind;
    kind.name = name;
    kind.from = from;
    kind.to = to;
    kinds_.push_back(std::move(kind));
    return kinds_.back();
  }

  std::vector<Kind> kinds_;
  Json tensors_ = Json::array();
  int64_t n_kept_ = 0, kept_bytes_ = 0;
};

}  // namespace

Result<Json> quantization_report(const Checkpoint& before, const Checkpoint& after, Pool& pool,
                                 const std::function<Status()>& go_on) {
  Report report;
  for (const CheckpointTensor& entry : after.tensors()) {
    const Matrix was = matrix_of(before, entry.name);
    if (was.tensor == nullptr) continue;  // scales
    if (was.tensor->dtype == entry.tensor.dtype) {
      report.keep(entry.tensor);
      continue;
    }
    FATHOM_RETURN_IF_ERROR(go_on());
    const Matrix is = matrix_of(after, entry.name);
    report.add(
        entry.name, was, is,
        compare(MatrixRows(*was.tensor, was.scales), MatrixRows(*is.tensor, is.scales), pool));
  }
  return std::move(report).json(before.total_bytes(), after.total_bytes());
}

void report_quantization(std::shared_ptr<const Checkpoint> before, ConversionPlan& plan) {
  const auto config_text = std::find_if(plan.texts.begin(), plan.texts.end(),
                                        [](const auto& t) { return t.first == "config.json"; });
  FATHOM_CHECK(config_text != plan.texts.end(), "a plan without config.json");
  plan.report = {std::string(kQuantizationReport),
                 [before = std::move(before), text = config_text->second](
                     const std::string& folder, Pool& pool,
                     const std::function<Status()>& go_on) -> Result<std::string> {
                   FATHOM_TRY(const ModelConfig config, parse_model_config(text, "config.json"));
                   FATHOM_TRY(const ModelFiles files, ModelFiles::open_folder(folder));
                   FATHOM_TRY(Checkpoint after, Checkpoint::open(files));
                   FATHOM_RETURN_IF_ERROR(name_packed_types(config, after));
                   FATHOM_TRY(const Json report, quantization_report(*before, after, pool, go_on));
                   return report.dump_pretty() + "\n";
                 }};
}

}  // namespace fathom
