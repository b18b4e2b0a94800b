// The pass back through one layer: pre-norm residual blocks, the SwiGLU MLP, and what all parts
// share, the two products of a linear layer.
#include <algorithm>

#include "kernels/elementwise.h"
#include "model/backward.h"

namespace fathom {

namespace {

InputFormat dgrad_format(const BackwardStep& step, Dtype weight) {
  return weight == Dtype::kBF16 ? InputFormat::kBf16 : input_format(step.activations, weight);
}

GradientPrecision wgrad_precision(Dtype weight) {
  switch (weight) {
    case Dtype::kF8E4M3:
      return GradientPrecision::kFp8;
    case Dtype::kBF16:
      return GradientPrecision::kBf16;
    default:
      return GradientPrecision::kF32;
  }
}

// d_x += the gradient by x of norm(x), whose own gradient is d_h.
void norm_backward(BackwardStep& step, const float* x, const std::vector<float>& weight,
                   const float* d_h, float* gradient, float* d_x) {
  const int64_t n = step.config.hidden_size;
  rms_norm_backward(step.compute, x, n, weight.data(), static_cast<float>(step.config.rms_norm_eps),
                    d_h, n, d_x, n, /*add=*/true, gradient, step.n_rows, n, step.ws.norm);
}

void norm(BackwardStep& step, const float* x, const std::vector<float>& weight, float* h) {
  const int64_t n = step.config.hidden_size;
  rms_norm(step.compute, x, n, weight.data(), static_cast<float>(step.config.rms_norm_eps), h, n,
           step.n_rows, n);
}

}  // namespace

RowsView seen_by(BackwardStep& step, const LinearGradient& w, const float* x, int64_t n_rows,
                 SavedRows& saved) {
  const int64_t k = w.k();
  if (w.transposed.dtype != Dtype::kF8E4M3) return f32_rows(x, k);
  saved.store(step.compute, x, k, n_rows, k);
  return saved.view();
}

void prepare_dgrad(BackwardStep& step, const float* d_y, int64_t n_rows, const LinearGradient& w,
                   LinearInput& input) {
  input.prepare(step.compute, d_y, w.n(), n_rows, w.n(), dgrad_format(step, w.transposed.dtype));
}

void dgrad(BackwardStep& step, const float* d_y, int64_t n_rows, const LinearGradient& w,
           float* d_x) {
  prepare_dgrad(step, d_y, n_rows, w, step.ws.input);
  linear(step.compute, step.ws.input, w.transposed, d_x, w.k());
}

void wgrad(BackwardStep& step, const float* d_y, const RowsView& x, int64_t n_rows,
           const LinearGradient& w) {
  const WgradJob job = {.dy = f32_rows(d_y, w.n()),
                        .dy_rows = nullptr,
                        .x = x,
                        .x_rows = nullptr,
                        .n_rows = n_rows,
                        .n = w.n(),
                        .k = w.k(),
                        .dw = w.gradient};
  wgrad(step, {&job, 1}, w);
}

void wgrad(BackwardStep& step, std::span<const WgradJob> jobs, const LinearGradient& like) {
  wgrad(step.compute, wgrad_precision(like.transposed.dtype), jobs, step.ws.wgrad);
}

void mlp_backward(BackwardStep& step, const MlpGradients& w, int64_t layer, const float* h,
                  const float* d_out, float* d_h) {
  BackwardWorkspace& ws = step.ws;
  const LayerTape& tape = step.tape.layer(layer);
  const int64_t width = w.gate_proj.n();
  tape.gate.load(step.compute, ws.gate.data(), width);
  tape.up.load(step.compute, ws.up.data(), width);
  step.compute.pool->parallel_for(step.n_rows, [&](int64_t row, int) {
    const int64_t at = row * width;
    silu_mul_row(step.compute.isa, &ws.gate[at], &ws.up[at], &ws.mlp_h[at], width);
  });
  wgrad(step, d_out, seen_by(step, w.down_proj, ws.mlp_h.data(), step.n_rows, ws.saved_mlp),
        step.n_rows, w.down_proj);
  dgrad(step, d_out, step.n_rows, w.down_proj, ws.d_mlp_h.data());
  step.compute.pool->parallel_for(step.n_rows, [&](int64_t row, int) {
    const int64_t at = row * width;
    silu_mul_backward_row(step.compute.isa, &ws.gate[at], &ws.up[at], &ws.d_mlp_h[at], &ws.gate[at],
                          &ws.up[at], width);
  });

  const RowsView x = seen_by(step, w.gate_proj, h, step.n_rows, ws.saved);
  wgrad(step, ws.gate.data(), x, step.n_rows, w.gate_proj);
  wgrad(step, ws.up.data(), x, step.n_rows, w.up_proj);
  dgrad(step, ws.gate.data(), step.n_rows, w.gate_proj, d_h);
  dgrad(step, ws.up.data(), step.n_rows, w.up_proj, ws.d_part.data());
  add_in_place(step.compute, d_h, ws.d_part.data(), step.n_rows * step.config.hidden_size);
}

void decoder_layer_backward(BackwardStep& step, const LayerWeights& w, const LayerGradients& g,
                            int64_t layer, float* d_x) {
  const LayerTape& tape = step.tape.layer(layer);
  float* const h = step.ws.h.data();
  float* const d_h = step.ws.d_h.data();

  norm(step, tape.x_mid.data(), w.post_attention_layernorm, h);
  if (w.is_moe) {
    moe_backward(step, g.moe, layer, h, d_x, d_h);
  } else {
    mlp_backward(step, g.mlp, layer, h, d_x, d_h);
  }
  norm_backward(step, tape.x_mid.data(), w.post_attention_layernorm, d_h,
                g.post_attention_layernorm, d_x);

  norm(step, tape.x.data(), w.input_layernorm, h);
  mla_backward(step, w.self_attn, g.self_attn, layer, h, d_x, d_h);
  norm_backward(step, tape.x.data(), w.input_layernorm, d_h, g.input_layernorm, d_x);
}

}  // namespace fathom
