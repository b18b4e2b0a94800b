#include "model/tape.h"

#include <algorithm>

#include "base/math.h"

namespace fathom {
namespace {

// How a wide activation is kept.
SavedFormat wide_format(TrainingPrecision precision) {
  switch (precision) {
    case TrainingPrecision::kFp32:
      return SavedFormat::kF32;
    case TrainingPrecision::kBf16:
      return SavedFormat::kBf16;
    case TrainingPrecision::kFp8:
      break;
  }
  return SavedFormat::kFp8;
}

RoutingTape routing_tape(const ModelConfig& config, int64_t rows) {
  const int64_t slots = rows * config.num_experts_per_tok;
  RoutingTape out;
  out.affinities = Buffer<float>(rows * config.n_routed_experts);
  out.expert_ids = Buffer<int32_t>(slots);
  out.expert_weights = Buffer<float>(slots);
  out.slot_of = Buffer<int32_t>(slots);
  out.slot_token = Buffer<int32_t>(slots);
  out.expert_begin = Buffer<int32_t>(config.n_routed_experts + 1);
  return out;
}

LayerTape layer_tape(const ModelConfig& config, TrainingPrecision precision, bool is_moe,
                     int64_t rows) {
  const SavedFormat wide = wide_format(precision);
  LayerTape out;
  out.x = Buffer<float>(rows * config.hidden_size);
  out.q_a = Buffer<float>(rows * config.q_lora_rank);
  out.kv_a = Buffer<float>(rows * config.kv_row_size());
  out.o = SavedRows(wide == SavedFormat::kFp8 ? SavedFormat::kE5m6 : wide, rows,
                    config.num_attention_heads * config.v_head_dim);
  out.x_mid = Buffer<float>(rows * config.hidden_size);
  const int64_t width =
      is_moe ? config.n_shared_experts * config.moe_intermediate_size : config.intermediate_size;
  out.gate = SavedRows(wide, rows, width);
  out.up = SavedRows(wide, rows, width);
  if (is_moe) {
    const int64_t slots = rows * config.num_experts_per_tok;
    out.routing = routing_tape(config, rows);
    out.expert_gate = SavedRows(wide, slots, config.moe_intermediate_size);
    out.expert_up = SavedRows(wide, slots, config.moe_intermediate_size);
  }
  return out;
}

}  // namespace

Tape::Tape(const ModelConfig& config, TrainingPrecision precision, const KvLayout& kv,
           const TapeLimits& limits)
    : blocks_per_sequence_(ceil_div(limits.sequence_length, kKvBlockRows)) {
  const int64_t rows = limits.max_rows();
  const int64_t n_blocks = limits.max_sequences * blocks_per_sequence_;
  int64_t halves = 0;
  for (int64_t i = 0; i < config.n_layers_stored(); ++i) {
    const bool is_moe = config.is_moe_layer(i);
    LayerTape layer = layer_tape(config, precision, is_moe, rows);
    layer.cache = Buffer<std::byte>(n_blocks * kv.block_bytes());
    for (int64_t b = 0; b < n_blocks; ++b)
      layer.blocks.push_back(layer.cache.data() + b * kv.block_bytes());
    layers_.push_back(std::move(layer));
    halves =
        std::max(halves, is_moe ? rows * config.moe_intermediate_size *
                                      std::max(config.num_experts_per_tok, config.n_shared_experts)
                                : rows * config.intermediate_size);
  }
  for (int64_t k = 0; k <= config.num_nextn_predict_layers; ++k)
    before_norm_.emplace_back(rows * config.hidden_size);
  for (int64_t s = 0; s < limits.max_sequences; ++s) caches_.emplace_back(*this, s);
  gate_ = Buffer<float>(halves);
  up_ = Buffer<float>(halves);
  jobs_ = Buffer<LinearJob>(std::max<int64_t>(1, config.n_routed_experts));
}

}  // namespace fathom
