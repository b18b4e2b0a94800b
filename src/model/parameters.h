// How large a model is, from its config alone: parameters by part (spec §1.4), bytes of the weights
// in each precision, bytes of the cache. All of it is summed over expected_tensors(), the list that
// checkpoints are checked against, so that the arithmetic and the loader cannot disagree.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "io/safetensors.h"
#include "kernels/attention.h"
#include "model/config.h"

namespace fathom {

// Parts of one kind over all layers: count * one = total.
struct ParameterItem {
  std::string name;   // "q path", "routed experts"
  std::string terms;  // what one of them is made of: "7168*1536 + 1536 + 1536*24576"
  int64_t one = 0;
  int64_t count = 0;
  int64_t total = 0;
  int64_t activated = 0;  // of total, for one token
  bool mtp = false;       // belongs to the MTP modules
  bool copy = false;      // the MTP module's copy of embedding or head
};

struct ParameterCount {
  int64_t total = 0;      // the main model: what a "671B" counts
  int64_t activated = 0;  // of the main model, for one token
  // Looking up one row of the embedding reads no table; a tied embedding counts, since it is the
  // head too.
  int64_t activated_without_embedding = 0;
  int64_t mtp_stored = 0;  // of the MTP modules, copies of embedding and head included
  int64_t mtp_unique = 0;  // without them
  std::vector<ParameterItem>
      items;  // main model, then MTP; sums of their columns are the numbers above
};
ParameterCount count_parameters(const ModelConfig& config);

enum class WeightPrecision : uint8_t { kAsConfigured, kFp8, kBf16, kF32 };
// The tensors of a checkpoint in that precision, scales included, in the order of
// expected_tensors(). kAsConfigured: FP8 or packed where quantization_config asks for it, the rest
// in torch_dtype (BF16 if it says none). Router biases and scales are F32 in all of them; a tied
// head is left out.
std::vector<TensorSpec> stored_tensors(const ModelConfig& config, WeightPrecision precision);

// The same without the MTP modules' copies of embedding and head, which the model never reads.
std::vector<TensorSpec> stored_tensors_once(const ModelConfig& config, WeightPrecision precision);

struct ByteCount {
  int64_t total = 0;
  std::vector<std::pair<Dtype, int64_t>> by_dtype;  // largest first
};
ByteCount count_bytes(const std::vector<TensorSpec>& tensors);

// Of all layers of the main model.
int64_t kv_bytes_per_token(const ModelConfig& config, KvDtype dtype);

}  // namespace fathom
