// What one pass forward leaves for the pass back, in the spirit of the report (§3.2.1 and §3.3.3;
// spec §6.7): of each layer the residual stream at its two norms, the narrow vectors of attention
// before their norms, the cache's rows, the attention's result and what enters SwiGLU. Norms,
// up-projections of attention and the SwiGLU product are computed again. With kFp8 the wide
// ones are kept in FP8, the input of o_proj in E5M6.
//
// Memory is taken when it is made. Not here: the pass back itself (model/backward.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention.h"
#include "kernels/saved_rows.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/training.h"
#include "tensor/buffer.h"

namespace fathom {

// The choice of experts of one MoE layer. Slots are (token, expert) pairs grouped by expert,
// tokens ascending.
struct RoutingTape {
  Buffer<float> affinities;      // [rows, n_routed_experts]
  Buffer<int32_t> expert_ids;    // [rows, num_experts_per_tok], by falling score
  Buffer<float> expert_weights;  // the same shape
  Buffer<int32_t> slot_of;       // the same shape
  Buffer<int32_t> slot_token;    // [slots]
  Buffer<int32_t> expert_begin;  // [n_routed_experts + 1]
};

struct LayerTape {
  Buffer<float> x;          // [rows, hidden_size]: what entered the layer
  Buffer<float> q_a;        // [rows, q_lora_rank], before its norm
  Buffer<float> kv_a;       // [rows, kv_lora_rank + qk_rope_head_dim], before norm and rotation
  Buffer<std::byte> cache;  // [sequences, blocks, block_bytes]
  std::vector<std::byte*> blocks;  // [sequences, blocks]
  SavedRows o;                     // [rows, n_heads * v_head_dim]
  Buffer<float> x_mid;             // [rows, hidden_size]: x + attention
  SavedRows gate, up;              // [rows, width] of the dense MLP or the shared experts
  RoutingTape routing;
  SavedRows expert_gate, expert_up;  // [slots, moe_intermediate_size]
};

struct TapeLimits {
  int64_t max_sequences = 0;
  int64_t sequence_length = 0;
  int64_t max_rows() const { return max_sequences * sequence_length; }
};

class Tape {
 public:
  Tape(const ModelConfig& config, TrainingPrecision precision, const KvLayout& kv,
       const TapeLimits& limits);
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // Layers of the main model, then of the MTP modules.
  LayerTape& layer(int64_t layer_idx) { return layers_[static_cast<size_t>(layer_idx)]; }
  const LayerTape& layer(int64_t layer_idx) const {
    return layers_[static_cast<size_t>(layer_idx)];
  }
  // [rows, hidden_size]: what entered model.norm (0), or shared_head.norm of MTP module k (1 + k).
  Buffer<float>& before_norm(int64_t stack) { return before_norm_[static_cast<size_t>(stack)]; }
  // The cache of one sequence of the micro-batch.
  KvCacheView* kv(int64_t sequence) { return &caches_[static_cast<size_t>(sequence)]; }
  // Where a SwiGLU's halves stand until they are kept.
  float* gate_scratch() { return gate_.data(); }
  float* up_scratch() { return up_.data(); }
  std::span<LinearJob> jobs() { return jobs_.span(); }

 private:
  class Cache final : public KvCacheView {
   public:
    Cache(Tape& tape, int64_t sequence) : tape_(&tape), sequence_(sequence) {}
    std::byte* const* blocks(int64_t layer) override {
      return tape_->layer(layer).blocks.data() + sequence_ * tape_->blocks_per_sequence_;
    }

   private:
    Tape* tape_;
    int64_t sequence_;
  };

  std::vector<LayerTape> layers_;
  std::vector<Buffer<float>> before_norm_;
  std::vector<Cache> caches_;
  Buffer<float> gate_, up_;
  Buffer<LinearJob> jobs_;
  int64_t blocks_per_sequence_;
};

}  // namespace fathom
