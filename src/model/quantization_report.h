// What a conversion to another precision cost, measured on the files that it wrote: for each matrix
// that changed its format, the format, the bytes and the error, read from both folders again. Hence
// the report of a run that was stopped and went on is that of one that was not.
//
// quantization.json: {"tensors": [{"name", "kind", "from", "to", "shape", "bytes_before", "bytes",
// "relative_rms_error"}], "kinds": [{"kind", "from", "to", "n_tensors", "n_weights",
// "bytes_before", "bytes", "relative_rms_error", "worst"}], "kept": {"n_tensors", "bytes"},
// "total":
// {"bytes_before", "bytes"}}. The error of a matrix is the root of sum (w' - w)^2 / sum w^2 against
// the values of the input; of a kind, that of all its weights together.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "io/checkpoint.h"
#include "io/json.h"
#include "model/config.h"
#include "parallel/pool.h"

namespace fathom {

struct ConversionPlan;

inline constexpr std::string_view kQuantizationReport = "quantization.json";

// Both checkpoints of the same model, packed types named. go_on is asked between tensors.
Result<Json> quantization_report(const Checkpoint& before, const Checkpoint& after, Pool& pool,
                                 const std::function<Status()>& go_on);

// Lets the plan write quantization.json when its weights are there. plan.texts holds config.json.
void report_quantization(std::shared_ptr<const Checkpoint> before, ConversionPlan& plan);

}  // namespace fathom
