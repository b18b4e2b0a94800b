// What the parts of the model share during one forward pass.
#pragma once

#include <array>
#include <cstdint>

#include "model/batch.h"
#include "model/expert_source.h"
#include "model/rope.h"
#include "model/tape.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace fathom {

struct Step {
  const ModelConfig& config;
  Compute compute;
  Activations activations;
  AttentionShape attention_shape;
  KvLayout kv_layout;
  const RopeTable& rope;
  const Batch& batch;
  int64_t n_rows;
  Workspace& ws;
  ForwardObserver* observer;
  ExpertSource* experts;  // null: all weights are in memory
  Tape* tape = nullptr;   // training: what backward needs is kept here; all weights are in memory

  LayerTape* tape_of(int64_t layer) const {
    return tape == nullptr ? nullptr : &tape->layer(layer);
  }
};

// Rows [n_rows, width] onto the tape.
void keep(const Step& step, const float* rows, Buffer<float>& to, int64_t width);

// y = x w^T for one or two layers that read the same rows (in one parallel region where they take
// the same format).
struct Projection {
  const LinearWeight& weight;
  float* y;
  int64_t ldy;
};
void project(Step& step, const float* x, int64_t ldx, int64_t k,
             std::initializer_list<Projection> projections);

// The residual blocks of one layer, x [n_rows, hidden_size] in place. layer counts the MTP modules
// too. False if weights could not be read.
bool decoder_layer(Step& step, const LayerWeights& weights, int64_t layer, float* x);

// Of the norms of the two latents, whatever rms_norm_eps says (as the reference implementations
// have it).
inline constexpr float kLatentNormEps = 1e-6f;

// out = Attn(h), both [n_rows, hidden_size]; writes the rows' latents into the caches first
// (model/mla.cc).
void mla(Step& step, const AttentionWeights& weights, int64_t layer, const float* h, float* out);

// out = W_down(silu(W_gate h) * (W_up h)) (spec §2.6; model/block.cc). layer names the tape's.
void mlp(Step& step, const MlpWeights& weights, int64_t layer, const float* h, float* out);
// linear_glu in two halves, so that what enters SwiGLU can be kept: the same bits. The jobs' h are
// rows of one matrix h [n_rows, width].
void kept_glu(Step& step, const LinearInput& x, std::span<const GluJob> jobs, float* h,
              int64_t n_rows, int64_t width, SavedRows& gate, SavedRows& up);
// The second half of mlp: out = W_down ws.mlp_h.
void mlp_down(Step& step, const MlpWeights& weights, float* out);

// Which of a token's slots [top_k] comes after `previous` in ascending order, and so in that of the
// experts; -1 before the first. There is one.
inline int64_t next_slot(const int32_t* slots, int64_t top_k, int32_t previous) {
  int64_t next = -1;
  for (int64_t k = 0; k < top_k; ++k) {
    if (slots[k] > previous && (next < 0 || slots[k] < slots[next])) next = k;
  }
  return next;
}

// out = shared experts + the chosen routed experts, weighted (spec §2.6; model/moe.cc). False if
// weights could not be read.
bool moe(Step& step, const MoeWeights& weights, int64_t layer, const float* h, float* out);

}  // namespace fathom
