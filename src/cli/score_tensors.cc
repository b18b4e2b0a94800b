#include "cli/score_tensors.h"

namespace fathom::cli {

Result<std::unique_ptr<ScoreTensors>> ScoreTensors::create(const std::string& path, bool force,
                                                           const LoadedModel& model,
                                                           std::vector<TensorSpec> specs) {
  FATHOM_TRY(SafetensorsWriter writer, SafetensorsWriter::create(path, std::move(specs), force));
  return std::unique_ptr<ScoreTensors>(
      new ScoreTensors(std::move(writer), model.transformer->n_mtp_modules() > 0));
}

Result<std::unique_ptr<ScoreTensors>> ScoreTensors::logits(const std::string& path, bool force,
                                                           const LoadedModel& model,
                                                           const std::vector<ScoreItem>& items) {
  const int64_t vocab_size = model.config.vocab_size;
  std::vector<TensorSpec> specs;
  for (const ScoreItem& item : items) {
    if (!item.error.empty()) continue;
    const int64_t n = static_cast<int64_t>(item.ids.size());
    specs.push_back({str_cat("logits.", item.line), Dtype::kF32, {n, vocab_size}});
    if (model.transformer->n_mtp_modules() > 0) {
      specs.push_back({str_cat("mtp_logits.", item.line), Dtype::kF32, {n - 1, vocab_size}});
    }
  }
  return create(path, force, model, std::move(specs));
}

Result<std::unique_ptr<ScoreTensors>> ScoreTensors::trace(const std::string& path, bool force,
                                                          const LoadedModel& model,
                                                          const std::vector<ScoreItem>& items) {
  const ModelConfig& config = model.config;
  std::vector<TensorSpec> specs;
  for (const ScoreItem& item : items) {
    if (!item.error.empty()) continue;
    const int64_t n = static_cast<int64_t>(item.ids.size());
    for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
      specs.push_back(
          {str_cat("hidden.", item.line, ".", layer), Dtype::kF32, {n, config.hidden_size}});
    }
    for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
      if (!config.is_moe_layer(layer)) continue;
      const std::string prefix = str_cat("router.", item.line, ".", layer);
      specs.push_back({prefix + ".indices", Dtype::kI64, {n, config.num_experts_per_tok}});
      specs.push_back({prefix + ".weights", Dtype::kF32, {n, config.num_experts_per_tok}});
    }
  }
  return create(path, force, model, std::move(specs));
}

template <typename T>
Status ScoreTensors::add(const std::vector<T>& values) {
  return writer_.write(next_++, std::as_bytes(std::span<const T>(values)));
}

Status ScoreTensors::add_logits(const Score& score) {
  FATHOM_RETURN_IF_ERROR(add(score.logits));
  return has_mtp_ ? add(score.mtp_logits) : Status();
}

Status ScoreTensors::add_trace(const Score& score) {
  for (const auto& layer : score.hidden) FATHOM_RETURN_IF_ERROR(add(layer));
  for (const auto& router : score.routers) {
    FATHOM_RETURN_IF_ERROR(add(router.indices));
    FATHOM_RETURN_IF_ERROR(add(router.weights));
  }
  return {};
}

}  // namespace fathom::cli
