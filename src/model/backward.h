// The pass back through the model, part by part, in the order of the forward pass read from its end
// (spec §6; report §3.3). Each part recomputes from the tape what the forward pass did not keep,
// then gives the gradient of what entered it and adds those of its weights. d_x names the gradient
// of the loss by x.
//
// What enters the products: kFp32 F32; kBf16 BF16; kFp8 E4M3 for the layers that are FP8 (Dgrad in
// tiles of 1x128, Wgrad in tiles of 128x1), BF16 for the others; the router F32 in all of them.
// Rounding in the forward pass is passed straight through. Orders of sums: docs/numerics.md.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention_backward.h"
#include "kernels/elementwise_backward.h"
#include "kernels/linear.h"
#include "kernels/saved_rows.h"
#include "kernels/wgrad.h"
#include "model/batch.h"
#include "model/rope.h"
#include "model/tape.h"
#include "model/trained_weights.h"
#include "model/training.h"

namespace fathom {

// Rows between the parts. Sized once for the largest micro-batch.
struct BackwardWorkspace {
  BackwardWorkspace() = default;
  BackwardWorkspace(const ModelConfig& config, TrainingPrecision precision,
                    const AttentionShape& shape, const TapeLimits& limits, int n_threads);

  Buffer<float> h;                    // [rows, hidden_size]: a norm's result, recomputed
  Buffer<float> d_h;                  // [rows, hidden_size]
  Buffer<float> d_part;               // [rows, hidden_size]: one of several terms of d_h
  Buffer<float> q_a;                  // [rows, q_lora_rank], after its norm
  Buffer<float> d_q_a;                // the same shape
  Buffer<float> q, d_q;               // [rows, n_heads * qk_head_dim]
  Buffer<float> latent;               // [rows, kv_lora_rank], as the cache holds it
  Buffer<float> d_latent;             // the same shape
  Buffer<float> k_rope;               // [rows, qk_rope_head_dim]
  Buffer<float> d_k_rope;             // the same shape
  Buffer<float> d_kv_a;               // [rows, kv_lora_rank + qk_rope_head_dim]
  Buffer<float> kv, d_kv;             // [rows, n_heads * (qk_nope_head_dim + v_head_dim)]
  Buffer<float> o, d_o;               // [rows, n_heads * v_head_dim]
  Buffer<float> gate, up;             // [rows, width] or [slots, moe_intermediate_size]
  Buffer<float> mlp_h, d_mlp_h;       // the same shape: what comes out of SwiGLU
  Buffer<float> d_slots, d_slots_up;  // [slots, hidden_size]
  Buffer<float> d_expert_weights;     // [rows, num_experts_per_tok]
  Buffer<float> d_logits;             // [rows, n_routed_experts]
  Buffer<int32_t> slot_ids;           // 0, 1, 2, ...
  Buffer<LinearJob> jobs;
  std::vector<WgradJob> wgrad_jobs;
  std::vector<AttentionBackwardJob> attention_jobs;
  LinearInput input;       // of Dgrad, and of what is recomputed
  LinearInput slot_input;  // [slots, moe_intermediate_size]
  SavedRows saved;  // an input of Wgrad as the forward pass saw it: of the residual width and ranks
  SavedRows saved_mlp;    // of the MLPs' width
  SavedRows saved_slots;  // [slots, moe_intermediate_size]
  WgradWorkspace wgrad;
  NormBackwardWorkspace norm;
  AttentionBackwardWorkspace attention;
};

struct BackwardStep {
  const ModelConfig& config;
  Compute compute;
  TrainingPrecision precision;
  Activations activations;  // of the forward pass
  const AttentionShape& attention_shape;
  const KvLayout& kv_layout;
  const RopeTable& rope;
  const Batch& batch;  // whole sequences from position 0
  int64_t n_rows;
  Tape& tape;
  BackwardWorkspace& ws;
  const LossWeights& loss;
  LossSums& sums;  // the balance term and the loads are added here

  // Rows of a sequence: all have as many.
  int64_t length() const { return static_cast<int64_t>(batch.sequences[0].tokens.size()); }
};

// ---- the two products of a linear layer (model/block_backward.cc)

// Rows [n_rows, in_features] as W's product of the forward pass saw them: through E4M3 in tiles of
// 1x128 for an FP8 weight (saved holds them), else themselves.
RowsView seen_by(BackwardStep& step, const LinearGradient& w, const float* x, int64_t n_rows,
                 SavedRows& saved);
// W's gradient += d_y^T x.
void wgrad(BackwardStep& step, const float* d_y, const RowsView& x, int64_t n_rows,
           const LinearGradient& w);
// The jobs of layers that are all stored as this one.
void wgrad(BackwardStep& step, std::span<const WgradJob> jobs, const LinearGradient& like);
// d_y [n_rows, out_features] into an input, as W's Dgrad takes it.
void prepare_dgrad(BackwardStep& step, const float* d_y, int64_t n_rows, const LinearGradient& w,
                   LinearInput& input);
// d_x [n_rows, in_features] = d_y W.
void dgrad(BackwardStep& step, const float* d_y, int64_t n_rows, const LinearGradient& w,
           float* d_x);

// ---- the parts

// d_x in place: of what left the layer, then of what entered it.
void decoder_layer_backward(BackwardStep& step, const LayerWeights& weights,
                            const LayerGradients& gradients, int64_t layer, float* d_x);
// h: what entered, after its norm. d_h is written.
void mla_backward(BackwardStep& step, const AttentionWeights& weights,
                  const AttentionGradients& gradients, int64_t layer, const float* h,
                  const float* d_out, float* d_h);
void mlp_backward(BackwardStep& step, const MlpGradients& gradients, int64_t layer, const float* h,
                  const float* d_out, float* d_h);
// Adds the balance term and the loads to the sums.
void moe_backward(BackwardStep& step, const MoeGradients& gradients, int64_t layer, const float* h,
                  const float* d_out, float* d_h);

}  // namespace fathom
