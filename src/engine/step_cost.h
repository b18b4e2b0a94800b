// What a forward pass must read and compute, counted from shapes and from the experts that were
// chosen: the numbers that a measured time is put beside.
//
// Bytes: every weight that the pass uses, once (scales included; of the routed experts only those
// that some token chose), one row of the embedding for each token, and the cached rows that its
// sequences look at, once each. Operations: two for each multiplication and addition of linear
// layers and attention. Each token's keys and values are expanded from the latent once: that the
// naive form expands earlier ones again is not counted as useful. Activations, norms, softmax and
// the sums of the residual stream are left out of both.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/attention.h"
#include "model/batch.h"
#include "model/weights.h"

namespace fathom {

// Give it to forward() as the observer and call add_pass() for the same batch. Allocates nothing
// after construction.
class StepCost final : public ForwardObserver {
 public:
  StepCost(const ModelConfig& config, const ModelWeights& weights, const KvLayout& kv_layout);

  // All of a pass but its routed experts' bytes. n_logit_rows: rows whose logits were asked for.
  void add_pass(const Batch& batch, int64_t n_logit_rows);
  void on_router(int64_t layer, const int32_t* indices, const float* weights,
                 int64_t n_rows) override;
  void on_layer(int64_t, const float*, int64_t) override {}

  // Sums over all passes.
  int64_t bytes() const { return bytes_; }
  int64_t ops() const { return ops_; }
  int64_t experts() const { return experts_; }  // distinct ones, summed over layers and passes

 private:
  const ModelConfig& config_;
  const ModelWeights& weights_;
  const int64_t kv_row_bytes_;  // of all layers
  int64_t dense_bytes_ = 0;     // what every pass reads
  int64_t row_macs_ = 0;        // of one token, without attention over the cache
  std::vector<uint8_t> seen_;   // [n_routed_experts]
  int64_t bytes_ = 0;
  int64_t ops_ = 0;
  int64_t experts_ = 0;
};

}  // namespace fathom
