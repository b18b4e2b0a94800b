// The pass back through multi-head latent attention (model/mla.cc). Queries, keys and values are
// expanded again from what the tape holds, the up-projections of the report's §3.2.1; the latent
// and the rope key are read from the cache's rows, as attention read them.
#include <algorithm>

#include "kernels/elementwise.h"
#include "model/backward.h"
#include "model/step.h"

namespace fathom {

namespace {

// y = x W^T as the forward pass computed it.
void again(BackwardStep& step, const float* x, const LinearWeight& w, InputFormat format,
           float* y) {
  step.ws.input.prepare(step.compute, x, w.k, step.n_rows, w.k, format);
  linear(step.compute, step.ws.input, w, y, w.n);
}

// task(row, position) for every row.
template <typename Task>
void for_each_row(BackwardStep& step, const Task& task) {
  const int64_t length = step.length();
  step.compute.pool->parallel_for(step.n_rows, [&](int64_t row, int) { task(row, row % length); });
}

// q as attention took it; q_a after its norm stays in the workspace.
void queries_again(BackwardStep& step, const AttentionWeights& w, const LayerTape& tape,
                   const float* h) {
  const ModelConfig& config = step.config;
  BackwardWorkspace& ws = step.ws;
  if (config.has_q_lora()) {
    const int64_t rank = config.q_lora_rank;
    rms_norm(step.compute, tape.q_a.data(), rank, w.q_a_layernorm.data(), kLatentNormEps,
             ws.q_a.data(), rank, step.n_rows, rank);
    again(step, ws.q_a.data(), w.q_b_proj, input_format(step.activations, w.q_b_proj.dtype),
          ws.q.data());
  } else {
    again(step, h, w.q_proj, input_format(step.activations, w.q_proj.dtype), ws.q.data());
  }
  const int64_t heads = config.num_attention_heads;
  for_each_row(step, [&](int64_t row, int64_t position) {
    rope_row(step.compute.isa, &ws.q[row * heads * config.qk_head_dim() + config.qk_nope_head_dim],
             heads, config.qk_head_dim(), config.qk_rope_head_dim, step.rope.cos(position),
             step.rope.sin(position), config.rope_interleave);
  });
}

// Latents and rope keys as the cache holds them, and the keys and values of all heads.
void keys_and_values_again(BackwardStep& step, const AttentionWeights& w, int64_t layer) {
  BackwardWorkspace& ws = step.ws;
  const int64_t rank = step.config.kv_lora_rank, rope = step.config.qk_rope_head_dim;
  const int64_t length = step.length();
  for_each_row(step, [&](int64_t row, int64_t position) {
    std::byte* const* blocks =
        step.batch.sequences[static_cast<size_t>(row / length)].kv->blocks(layer);
    kv_read_row(
        step.compute.isa, step.kv_layout,
        blocks[position / kKvBlockRows] + position % kKvBlockRows * step.kv_layout.row_bytes(),
        &ws.latent[row * rank], &ws.k_rope[row * rope]);
  });
  const InputFormat format = step.kv_layout.dtype == KvDtype::kF32
                                 ? InputFormat::kF32
                                 : input_format(Activations::kBf16, w.kv_b_proj.dtype);
  again(step, ws.latent.data(), w.kv_b_proj, format, ws.kv.data());
}

// d_q, d_kv, d_k_rope of all sequences.
void attention_again(BackwardStep& step) {
  const ModelConfig& config = step.config;
  BackwardWorkspace& ws = step.ws;
  const int64_t heads = config.num_attention_heads;
  const int64_t length = step.length();
  const int64_t q = heads * config.qk_head_dim(), v = heads * config.v_head_dim;
  const int64_t kv = heads * (config.qk_nope_head_dim + config.v_head_dim);
  ws.attention_jobs.clear();
  for (int64_t row = 0; row < step.n_rows; row += length) {
    ws.attention_jobs.push_back({.q = &ws.q[row * q],
                                 .kv = &ws.kv[row * kv],
                                 .k_rope = &ws.k_rope[row * config.qk_rope_head_dim],
                                 .o = &ws.o[row * v],
                                 .d_o = &ws.d_o[row * v],
                                 .d_q = &ws.d_q[row * q],
                                 .d_kv = &ws.d_kv[row * kv],
                                 .d_k_rope = &ws.d_k_rope[row * config.qk_rope_head_dim],
                                 .n_rows = length});
  }
  attention_backward(step.compute, step.attention_shape, step.kv_layout.dtype != KvDtype::kF32,
                     ws.attention_jobs, ws.attention);
}

// d_kv_a [rows, rank + rope] of what entered the norm of the latent and the rotation of the key.
void latents_backward(BackwardStep& step, const AttentionWeights& w, const AttentionGradients& g,
                      const LayerTape& tape) {
  const ModelConfig& config = step.config;
  BackwardWorkspace& ws = step.ws;
  const int64_t rank = config.kv_lora_rank, rope = config.qk_rope_head_dim;
  const int64_t width = rank + rope;
  wgrad(step, ws.d_kv.data(), f32_rows(ws.latent.data(), rank), step.n_rows, g.kv_b_proj);
  dgrad(step, ws.d_kv.data(), step.n_rows, g.kv_b_proj, ws.d_latent.data());
  rms_norm_backward(step.compute, tape.kv_a.data(), width, w.kv_a_layernorm.data(), kLatentNormEps,
                    ws.d_latent.data(), rank, ws.d_kv_a.data(), width, /*add=*/false,
                    g.kv_a_layernorm, step.n_rows, rank, ws.norm);
  for_each_row(step, [&](int64_t row, int64_t position) {
    float* const d_key = &ws.d_kv_a[row * width + rank];
    std::copy_n(&ws.d_k_rope[row * rope], rope, d_key);
    rope_backward_row(step.compute.isa, d_key, 1, 0, rope, step.rope.cos(position),
                      step.rope.sin(position), config.rope_interleave);
  });
}

// d_h of the queries' path, written.
void queries_backward(BackwardStep& step, const AttentionWeights& w, const AttentionGradients& g,
                      const LayerTape& tape, const float* h, float* d_h) {
  const ModelConfig& config = step.config;
  BackwardWorkspace& ws = step.ws;
  const int64_t heads = config.num_attention_heads, rank = config.q_lora_rank;
  for_each_row(step, [&](int64_t row, int64_t position) {
    rope_backward_row(step.compute.isa,
                      &ws.d_q[row * heads * config.qk_head_dim() + config.qk_nope_head_dim], heads,
                      config.qk_head_dim(), config.qk_rope_head_dim, step.rope.cos(position),
                      step.rope.sin(position), config.rope_interleave);
  });
  if (!config.has_q_lora()) {
    wgrad(step, ws.d_q.data(), seen_by(step, g.q_proj, h, step.n_rows, ws.saved), step.n_rows,
          g.q_proj);
    dgrad(step, ws.d_q.data(), step.n_rows, g.q_proj, d_h);
    return;
  }
  wgrad(step, ws.d_q.data(), seen_by(step, g.q_b_proj, ws.q_a.data(), step.n_rows, ws.saved),
        step.n_rows, g.q_b_proj);
  dgrad(step, ws.d_q.data(), step.n_rows, g.q_b_proj, ws.d_q_a.data());
  rms_norm_backward(step.compute, tape.q_a.data(), rank, w.q_a_layernorm.data(), kLatentNormEps,
                    ws.d_q_a.data(), rank, ws.d_q_a.data(), rank, /*add=*/false, g.q_a_layernorm,
                    step.n_rows, rank, ws.norm);
  wgrad(step, ws.d_q_a.data(), seen_by(step, g.q_a_proj, h, step.n_rows, ws.saved), step.n_rows,
        g.q_a_proj);
  dgrad(step, ws.d_q_a.data(), step.n_rows, g.q_a_proj, d_h);
}

}  // namespace

void mla_backward(BackwardStep& step, const AttentionWeights& w, const AttentionGradients& g,
                  int64_t layer, const float* h, const float* d_out, float* d_h) {
  BackwardWorkspace& ws = step.ws;
  const LayerTape& tape = step.tape.layer(layer);
  queries_again(step, w, tape, h);
  keys_and_values_again(step, w, layer);
  tape.o.load(step.compute, ws.o.data(), g.o_proj.k());

  wgrad(step, d_out, tape.o.view(), step.n_rows, g.o_proj);
  dgrad(step, d_out, step.n_rows, g.o_proj, ws.d_o.data());
  attention_again(step);
  latents_backward(step, w, g, tape);
  queries_backward(step, w, g, tape, h, d_h);

  // The path of keys and values joins that of the queries.
  wgrad(step, ws.d_kv_a.data(), seen_by(step, g.kv_a_proj_with_mqa, h, step.n_rows, ws.saved),
        step.n_rows, g.kv_a_proj_with_mqa);
  dgrad(step, ws.d_kv_a.data(), step.n_rows, g.kv_a_proj_with_mqa, ws.d_part.data());
  add_in_place(step.compute, d_h, ws.d_part.data(), step.n_rows * step.config.hidden_size);
}

}  // namespace fathom
