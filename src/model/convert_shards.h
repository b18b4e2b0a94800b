// The same tensors in other files: re-sharding a published checkpoint, and the official demo's
// files for model parallelism (spec §1.2) from it and back. Bytes of tensors are never changed;
// conversions back and forth give each tensor bit for bit.
//
// The demo splits embedding, head and the first matrix of each pair by rows, the second (wo, w2) by
// columns, gives every rank an equal run of the experts, and all of the rest to every rank. It
// knows no MTP module.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/checkpoint.h"
#include "model/config.h"
#include "model/conversion.h"

namespace fathom {

inline constexpr int64_t kDefaultShardBytes = 5'000'000'000;

// As published: model-00001-of-000163.safetensors with an index, or model.safetensors if one file
// holds all. A tensor larger than shard_bytes gets a file to itself.
Result<ConversionPlan> plan_reshard(const ModelConfig& config,
                                    std::shared_ptr<const Checkpoint> checkpoint,
                                    int64_t shard_bytes);

// model{i}-mp{n}.safetensors. Refused: heads, experts or dimensions that n does not divide, FP8
// splits that are not on a border of blocks, tied embeddings.
Result<ConversionPlan> plan_model_parallel(const ModelConfig& config,
                                           std::shared_ptr<const Checkpoint> checkpoint, int64_t n);

// Whether the folder holds such files.
bool is_model_parallel(const ModelFiles& files);

// Back. config_json is the folder's: as published, or as the demo writes it (then a published one
// is made of it).
Result<ConversionPlan> plan_from_model_parallel(const ModelFiles& files,
                                                const std::string& config_json,
                                                const std::string& config_name,
                                                int64_t shard_bytes);

// --- pieces that other plans share ---

// Fills files of at most shard_bytes in the order given, as plan_reshard() does.
void distribute(std::vector<OutputTensor> tensors, int64_t shard_bytes, ConversionPlan& plan);
// The order of the layers, experts by number; what the config does not expect (tables of older
// files) at the end.
std::vector<const CheckpointTensor*> in_layer_order(const ModelConfig& config,
                                                    const Checkpoint& checkpoint);
// Fills plan.inputs.
void name_inputs(const Checkpoint& checkpoint, ConversionPlan& plan);

}  // namespace fathom
