// Multi-head latent attention (report §2.1.1, spec §2.2), prefill and decode. The cache holds one
// row per token: [kv_lora_rank latent | qk_rope_head_dim rope key], the latent after its norm, the
// key after its rotation. Both forms, naive and absorbed, are one call below (kernels/attention.h).
// Not here: paging (the engine's caches).
#include "kernels/elementwise.h"
#include "model/step.h"

namespace fathom {

namespace {

// q [n_rows, n_heads, nope | rope], the rope part rotated.
void queries(Step& step, const AttentionWeights& w, int64_t layer, const float* h) {
  const ModelConfig& config = step.config;
  Workspace& ws = step.ws;
  const int64_t q_width = config.num_attention_heads * config.qk_head_dim();
  const int64_t kv_width = config.kv_lora_rank + config.qk_rope_head_dim;
  const Projection kv = {w.kv_a_proj_with_mqa, ws.kv_a.data(), kv_width};
  if (config.has_q_lora()) {
    const int64_t rank = config.q_lora_rank;
    project(step, h, config.hidden_size, config.hidden_size,
            {{w.q_a_proj, ws.q_a.data(), rank}, kv});
    if (LayerTape* tape = step.tape_of(layer)) keep(step, ws.q_a.data(), tape->q_a, rank);
    rms_norm(step.compute, ws.q_a.data(), rank, w.q_a_layernorm.data(), kLatentNormEps,
             ws.q_a.data(), rank, step.n_rows, rank);
    project(step, ws.q_a.data(), rank, rank, {{w.q_b_proj, ws.q.data(), q_width}});
  } else {
    project(step, h, config.hidden_size, config.hidden_size,
            {{w.q_proj, ws.q.data(), q_width}, kv});
  }
}

// Rotates queries and keys at each row's position and writes the row that the token leaves in its
// cache.
void rotate_and_cache(Step& step, const AttentionWeights& w, int64_t layer) {
  const ModelConfig& config = step.config;
  Workspace& ws = step.ws;
  const int64_t kv_width = config.kv_lora_rank + config.qk_rope_head_dim;
  if (LayerTape* tape = step.tape_of(layer)) keep(step, ws.kv_a.data(), tape->kv_a, kv_width);
  rms_norm(step.compute, ws.kv_a.data(), kv_width, w.kv_a_layernorm.data(), kLatentNormEps,
           ws.kv_a.data(), kv_width, step.n_rows, config.kv_lora_rank);
  step.compute.pool->parallel_for(step.n_rows, [&](int64_t row, int) {
    const Isa isa = step.compute.isa;
    const int64_t position = ws.row_position[row];
    const float* cos = step.rope.cos(position);
    const float* sin = step.rope.sin(position);
    float* q = &ws.q[row * config.num_attention_heads * config.qk_head_dim()];
    float* latent = &ws.kv_a[row * kv_width];
    float* key = latent + config.kv_lora_rank;
    rope_row(isa, q + config.qk_nope_head_dim, config.num_attention_heads, config.qk_head_dim(),
             config.qk_rope_head_dim, cos, sin, config.rope_interleave);
    rope_row(isa, key, 1, 0, config.qk_rope_head_dim, cos, sin, config.rope_interleave);
    std::byte* const* blocks = step.batch.sequences[ws.row_sequence[row]].kv->blocks(layer);
    kv_write_row(
        isa, step.kv_layout, latent, key,
        blocks[position / kKvBlockRows] + position % kKvBlockRows * step.kv_layout.row_bytes());
  });
}

}  // namespace

void mla(Step& step, const AttentionWeights& w, int64_t layer, const float* h, float* out) {
  const ModelConfig& config = step.config;
  Workspace& ws = step.ws;
  queries(step, w, layer, h);
  rotate_and_cache(step, w, layer);

  int64_t row = 0;
  const auto& sequences = step.batch.sequences;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const int64_t n = static_cast<int64_t>(sequences[i].tokens.size());
    ws.attention_jobs[static_cast<int64_t>(i)] = {.blocks = sequences[i].kv->blocks(layer),
                                                  .first_position = sequences[i].first_position,
                                                  .row_begin = row,
                                                  .n_rows = n,
                                                  .absorbed = sequences[i].absorbed};
    row += n;
  }
  attention(step.compute, step.attention_shape, step.kv_layout, w.kv_b_proj,
            {ws.attention_jobs.data(), sequences.size()}, ws.q.data(), ws.o.data(), ws.attention);

  const int64_t o_width = config.num_attention_heads * config.v_head_dim;
  if (LayerTape* tape = step.tape_of(layer))
    tape->o.store(step.compute, ws.o.data(), o_width, step.n_rows, o_width);
  project(step, ws.o.data(), o_width, o_width, {{w.o_proj, out, config.hidden_size}});
}

}  // namespace fathom
