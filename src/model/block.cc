// One layer of the model: pre-norm residual blocks (spec §2), and the two shared pieces below them,
// projections and the SwiGLU MLP of the dense layers and the shared expert.
#include "kernels/adamw.h"
#include "kernels/elementwise.h"
#include "model/step.h"

namespace fathom {

void keep(const Step& step, const float* rows, Buffer<float>& to, int64_t width) {
  copy_or_clear(step.compute, to.data(), rows, step.n_rows * width);
}

void project(Step& step, const float* x, int64_t ldx, int64_t k,
             std::initializer_list<Projection> projections) {
  Workspace& ws = step.ws;
  constexpr size_t kMaxJobs = 4;
  FATHOM_DCHECK(projections.size() <= kMaxJobs, projections.size(), " projections");
  std::array<LinearJob, kMaxJobs> jobs;
  size_t n_jobs = 0;
  const Projection* const end = projections.end();
  for (const Projection* p = projections.begin(); p != end; ++p) {
    const InputFormat format = input_format(step.activations, p->weight.dtype);
    if (n_jobs == 0) ws.input.prepare(step.compute, x, ldx, step.n_rows, k, format);
    jobs[n_jobs++] = {
        .weight = &p->weight, .rows = nullptr, .n_rows = step.n_rows, .y = p->y, .ldy = p->ldy};
    // Layers of one input that take another format (an unquantised one among FP8 ones) are their
    // own region.
    const bool last = p + 1 == end || input_format(step.activations, p[1].weight.dtype) != format;
    if (!last) continue;
    linear(step.compute, ws.input, std::span<const LinearJob>(jobs.data(), n_jobs));
    n_jobs = 0;
  }
}

void kept_glu(Step& step, const LinearInput& x, std::span<const GluJob> jobs, float* h,
              int64_t n_rows, int64_t width, SavedRows& gate, SavedRows& up) {
  float* const gates = step.tape->gate_scratch();
  float* const ups = step.tape->up_scratch();
  const std::span<LinearJob> halves = step.tape->jobs();
  for (const bool is_up : {false, true}) {
    for (size_t i = 0; i < jobs.size(); ++i) {
      const GluJob& job = jobs[i];
      halves[i] = {.weight = is_up ? job.up : job.gate,
                   .rows = job.rows,
                   .n_rows = job.n_rows,
                   .y = (is_up ? ups : gates) + (job.h - h),
                   .ldy = width};
    }
    linear(step.compute, x, halves.first(jobs.size()));
  }
  step.compute.pool->parallel_for(n_rows, [&](int64_t row, int) {
    const int64_t at = row * width;
    silu_mul_row(step.compute.isa, gates + at, ups + at, h + at, width);
  });
  gate.store(step.compute, gates, width, n_rows, width);
  up.store(step.compute, ups, width, n_rows, width);
}

void mlp(Step& step, const MlpWeights& w, int64_t layer, const float* h, float* out) {
  Workspace& ws = step.ws;
  const int64_t hidden_size = step.config.hidden_size;
  const int64_t width = w.gate_proj.n;
  ws.input.prepare(step.compute, h, hidden_size, step.n_rows, hidden_size,
                   input_format(step.activations, w.gate_proj.dtype));
  const GluJob glu = {.gate = &w.gate_proj,
                      .up = &w.up_proj,
                      .rows = nullptr,
                      .n_rows = step.n_rows,
                      .h = ws.mlp_h.data(),
                      .ldh = width};
  if (LayerTape* tape = step.tape_of(layer)) {
    kept_glu(step, ws.input, {&glu, 1}, glu.h, step.n_rows, width, tape->gate, tape->up);
  } else {
    linear_glu(step.compute, ws.input, {&glu, 1});
  }
  mlp_down(step, w, out);
}

void mlp_down(Step& step, const MlpWeights& w, float* out) {
  Workspace& ws = step.ws;
  const int64_t width = w.down_proj.k;
  ws.mlp_input.prepare(step.compute, ws.mlp_h.data(), width, step.n_rows, width,
                       input_format(step.activations, w.down_proj.dtype));
  linear(step.compute, ws.mlp_input, w.down_proj, out, step.config.hidden_size);
}

bool decoder_layer(Step& step, const LayerWeights& w, int64_t layer, float* x) {
  const int64_t hidden_size = step.config.hidden_size;
  const float eps = static_cast<float>(step.config.rms_norm_eps);
  float* const h = step.ws.normed.data();
  float* const out = step.ws.out.data();
  LayerTape* const tape = step.tape_of(layer);

  if (tape != nullptr) keep(step, x, tape->x, hidden_size);
  rms_norm(step.compute, x, hidden_size, w.input_layernorm.data(), eps, h, hidden_size, step.n_rows,
           hidden_size);
  mla(step, w.self_attn, layer, h, out);
  add_in_place(step.compute, x, out, step.n_rows * hidden_size);

  if (tape != nullptr) keep(step, x, tape->x_mid, hidden_size);
  rms_norm(step.compute, x, hidden_size, w.post_attention_layernorm.data(), eps, h, hidden_size,
           step.n_rows, hidden_size);
  if (w.is_moe) {
    if (!moe(step, w.moe, layer, h, out)) return false;
  } else {
    mlp(step, w.mlp, layer, h, out);
  }
  add_in_place(step.compute, x, out, step.n_rows * hidden_size);
  return true;
}

}  // namespace fathom
