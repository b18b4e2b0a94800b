// Which experts each row of a pass was sent to, kept for requests that ask for it.
#pragma once

#include <cstdint>
#include <vector>

#include "model/batch.h"

namespace fathom {

class RoutingRecorder final : public ForwardObserver {
 public:
  explicit RoutingRecorder(int64_t num_experts_per_tok) : top_k_(num_experts_per_tok) {}

  // Before a pass.
  void clear() { n_layers_ = 0; }
  void on_layer(int64_t, const float*, int64_t) override {}
  void on_router(int64_t, const int32_t* indices, const float*, int64_t n_rows) override {
    if (n_layers_ == layers_.size()) layers_.emplace_back();
    layers_[n_layers_++].assign(indices, indices + n_rows * top_k_);
  }
  // [layers with experts, num_experts_per_tok], by falling affinity.
  std::vector<int32_t> of_row(int64_t row) const {
    std::vector<int32_t> out;
    for (size_t i = 0; i < n_layers_; ++i) {
      const auto first = layers_[i].begin() + row * top_k_;
      out.insert(out.end(), first, first + top_k_);
    }
    return out;
  }

 private:
  int64_t top_k_;
  std::vector<std::vector<int32_t>> layers_;
  size_t n_layers_ = 0;  // of them that this pass has filled
};

}  // namespace fathom
