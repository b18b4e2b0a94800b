// The official demo's files for model parallelism, read: model{rank}-mp{n}.safetensors, all n of
// them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/model_files.h"
#include "model/config.h"
#include "model/conversion.h"

namespace fathom {

// Of a rank: "model0-mp2.safetensors".
std::string demo_file_name(int64_t rank, int64_t n);
// The rank and the number of ranks.
std::optional<std::pair<int64_t, int64_t>> parse_demo_file_name(const std::string& name);
// Whether a published name is of an MTP module's layer.
bool is_mtp_tensor(const ModelConfig& config, const std::string& name);

class DemoShards {
 public:
  static Result<std::shared_ptr<const DemoShards>> open(const ModelFiles& files);

  int64_t size() const { return static_cast<int64_t>(ranks_.size()); }
  bool has_router_bias() const;

  // Every tensor of the main model under its published name, put together from the ranks. Refused:
  // what is missing, left over, of another shape or dtype than the config and the other ranks say,
  // or whole on every rank but not equal. Raises *scratch_bytes_min to what the sources need. The
  // sources point into this object.
  Result<std::vector<OutputTensor>> published_tensors(const ModelConfig& config,
                                                      int64_t* scratch_bytes_min) const;

 private:
  struct Rank {
    std::string file;
    FileBytes bytes;
    std::unordered_map<std::string, Tensor> tensors;
  };
  class Joiner;

  std::vector<Rank> ranks_;
};

}  // namespace fathom
