// The model: DeepSeek-V3 and its family, from token ids to logits (spec §2; report §2). One forward
// pass takes a batch of pieces of sequences and leaves the hidden states; logits are computed for
// the rows that are asked for. The MTP modules stand beside it (spec §2.7).
//
// Not thread-safe: one pass at a time (the passes are parallel inside). Allocates nothing after
// construction.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "model/batch.h"
#include "model/rope.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace fathom {

struct Step;
class Tape;

struct ModelOptions {
  Activations activations = Activations::kBf16;
  KvDtype kv_dtype = KvDtype::kBf16;
  WorkspaceLimits limits;
};

class Transformer {
 public:
  // config and weights stay valid and unchanged; limits.max_context <=
  // config.max_position_embeddings.
  Transformer(const ModelConfig& config, const ModelWeights& weights, const ModelOptions& options,
              Compute compute);

  // The routed experts' weights come from source, which must outlive the transformer's passes;
  // null: they are in memory. Passes return null where a weight could not be read; source's
  // status() then says why, and rows that the pass wrote into caches are worth nothing.
  void set_expert_source(ExpertSource* source) { experts_ = source; }
  const ExpertSource* expert_source() const { return experts_; }

  // Passes leave on tape what the pass back needs (model/backward.h); null: nothing. All weights
  // are in memory then.
  void set_tape(Tape* tape) { tape_ = tape; }

  const ModelConfig& config() const { return config_; }
  const ModelWeights& weights() const { return weights_; }
  const KvLayout& kv_layout() const { return kv_layout_; }
  const RopeTable& rope() const { return rope_; }
  const AttentionShape& attention_shape() const { return attention_shape_; }
  const Compute& compute() const { return compute_; }
  const WorkspaceLimits& limits() const { return options_.limits; }
  // Layers that a cache holds rows for: those of the main model, then the MTP modules.
  int64_t n_kv_layers() const { return config_.num_hidden_layers + n_mtp_modules(); }
  int64_t n_mtp_modules() const { return static_cast<int64_t>(weights_.mtp.size()); }

  // Main model over the batch. Returns the hidden states after model.norm, [n_rows, hidden_size],
  // valid until the next pass.
  const float* forward(const Batch& batch, ForwardObserver* observer = nullptr);

  // MTP module k: row i of the batch is the pair (hidden state of position p, token of position p +
  // 1), its position is p. hidden [n_rows, hidden_size]: after model.norm (k = 0), or what module k
  // - 1 returned; may be what forward() returned. Returns the states after shared_head.norm, whose
  // logits predict the token of position p + k + 2.
  const float* mtp_forward(int64_t module, const Batch& batch, const float* hidden,
                           ForwardObserver* observer = nullptr);

  // logits [rows.size(), vocab_size] = lm_head of the given rows of a result of forward() or
  // mtp_forward(). rows.size() <= limits.max_logit_rows.
  void logits(const float* hidden, std::span<const int32_t> rows, float* logits);

 private:
  void begin(const Batch& batch);
  Step step(const Batch& batch, ForwardObserver* observer);
  void embed(const Batch& batch, float* x);

  const ModelConfig& config_;
  const ModelWeights& weights_;
  ModelOptions options_;
  Compute compute_;
  KvLayout kv_layout_;
  AttentionShape attention_shape_;
  RopeTable rope_;
  Workspace ws_;
  ExpertSource* experts_ = nullptr;
  Tape* tape_ = nullptr;
};

// The layout of a cache's rows for this model.
KvLayout kv_layout(const ModelConfig& config, KvDtype dtype);

}  // namespace fathom
