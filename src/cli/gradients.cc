// fathom gradients: losses and gradients of one batch, for outside tests of the trainer.
#include <memory>
#include <vector>

#include "cli/commands.h"
#include "cli/options.h"
#include "io/mapped_file.h"
#include "io/printable.h"
#include "io/safetensors.h"
#include "model/open_model.h"
#include "model/trainable_model.h"

namespace fathom::cli {
namespace {

struct GradientsOptions {
  CommonOptions common;
  std::string model, tokens, output;
  std::string precision = "fp32";
  double mtp_lambda = 0, balance_alpha = 0;
  bool force = false;
};

struct TokenBatch {
  std::vector<int32_t> tokens;  // [n, t + 1]
  int64_t n_sequences = 0, t = 0;
};

// Tensor "tokens" [n, t + 1], I64 or I32.
Result<TokenBatch> read_tokens(const std::string& path, int64_t vocab_size) {
  FATHOM_TRY(const MappedFile map, MappedFile::open(path));
  FATHOM_TRY(const SafetensorsFile file, parse_safetensors(map.bytes(), path));
  const Tensor* const found = file.find("tokens");
  if (found == nullptr)
    return invalid_error(path, " holds no tensor \"tokens\", expected I64 [n, t + 1]");
  const Tensor& t = *found;
  if (t.shape.size() != 2 || t.shape[0] < 1 || t.shape[1] < 2 ||
      (t.dtype != Dtype::kI64 && t.dtype != Dtype::kI32))
    return invalid_error(path, ": \"tokens\" is not I64 [n, t + 1] with n >= 1 and t >= 1");
  TokenBatch out;
  out.n_sequences = t.shape[0];
  out.t = t.shape[1] - 1;
  for (int64_t i = 0; i < t.elements(); ++i) {
    const int64_t id = t.dtype == Dtype::kI64 ? t.as<int64_t>()[i] : int64_t{t.as<int32_t>()[i]};
    if (id < 0 || id >= vocab_size)
      return invalid_error(path, ": \"tokens\" holds ", id, ", beyond the vocabulary of ",
                           vocab_size);
    out.tokens.push_back(static_cast<int32_t>(id));
  }
  return out;
}

Status write_output(const GradientsOptions& options, TrainableModel& model, const LossSums& sums,
                    const LossWeights& weights) {
  const std::pair<const char*, double> losses[] = {
      {"loss", sums.main + weights.mtp_lambda * sums.mtp + sums.balance},
      {"loss_main", sums.main},
      {"loss_mtp", sums.mtp},
      {"loss_balance", sums.balance}};
  std::vector<TensorSpec> specs;
  for (const auto& [name, value] : losses) specs.push_back({name, Dtype::kF32, {}});
  for (const TrainedTensor& tensor : model.tensors())
    specs.push_back({"grad." + tensor.name, Dtype::kF32, tensor.shape});
  FATHOM_TRY(SafetensorsWriter writer,
             SafetensorsWriter::create(options.output, specs, options.force));
  size_t index = 0;
  for (const auto& [name, value] : losses) {
    const auto narrow = static_cast<float>(value);
    FATHOM_RETURN_IF_ERROR(writer.write(index++, std::as_bytes(std::span(&narrow, 1))));
  }
  for (const TrainedTensor& tensor : model.tensors()) {
    const auto gradient = model.gradients().subspan(static_cast<size_t>(tensor.offset),
                                                    static_cast<size_t>(tensor.size));
    for (float& v : gradient) v /= static_cast<float>(weights.gradient_scale);
    FATHOM_RETURN_IF_ERROR(writer.write(index++, std::as_bytes(gradient)));
  }
  return writer.finish();
}

Status run_gradients(const GradientsOptions& options) {
  FATHOM_TRY(const OpenedModel opened, open_model(options.model));
  FATHOM_TRY(const TokenBatch batch, read_tokens(options.tokens, opened.config.vocab_size));
  FATHOM_TRY(const Isa isa, select_isa(options.common.isa));
  Pool pool(options.common.n_threads());
  TrainableOptions trainable;
  trainable.precision = training_precision(options.precision);
  trainable.max_sequences = batch.n_sequences;
  trainable.sequence_length = batch.t;
  trainable.checkpoint = opened.checkpoint;
  FATHOM_TRY(const std::unique_ptr<TrainableModel> model,
             TrainableModel::create(opened.config, trainable, {isa, &pool}));
  const auto n = static_cast<double>(batch.n_sequences), t = static_cast<double>(batch.t);
  LossWeights weights = {.main_scale = 1 / (n * t),
                         .mtp_scales = {},
                         .mtp_lambda = options.mtp_lambda,
                         .balance_alpha = options.balance_alpha,
                         .balance_scale = 1 / n,
                         .gradient_scale = gradient_scale_of(batch.n_sequences * batch.t)};
  for (int64_t k = 1; k <= opened.config.num_nextn_predict_layers; ++k)
    weights.mtp_scales.push_back(batch.t > k ? 1 / (n * (t - static_cast<double>(k))) : 0);
  const std::vector<uint8_t> mask(static_cast<size_t>(batch.n_sequences * batch.t), 1);
  const LossSums sums = model->forward_backward(batch.tokens, mask, batch.n_sequences, weights);
  return write_output(options, *model, sums, weights);
}

}  // namespace

void add_gradients(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<GradientsOptions>();
  app.add_option("MODEL", options->model, "A folder as published, or a .gguf")->required();
  app.add_option("TOKENS", options->tokens, "A safetensors file with \"tokens\", I64 [n, t + 1]")
      ->required();
  app.add_option("--output", options->output,
                 "Where the losses and grad.NAME of every trainable tensor go, F32 safetensors")
      ->required()
      ->group("Output");
  app.add_flag("--force", options->force, "Replace a file that is there")->group("Output");
  add_choice_option(app, "--precision", options->precision, {"fp8", "bf16", "fp32"},
                    "What the products of linear layers take")
      ->group("Losses");
  app.add_option("--mtp-lambda", options->mtp_lambda, "Weight of the MTP modules' loss; 0: not run")
      ->check(number_range(0, 1e6))
      ->capture_default_str()
      ->group("Losses");
  app.add_option("--balance-alpha", options->balance_alpha,
                 "Strength of the sequence-wise balance loss")
      ->check(number_range(0, 1e6))
      ->capture_default_str()
      ->group("Losses");
  add_common_options(app, options->common, kThreadsOption | kIsaOption);
  set_example(app, "fathom gradients model tokens.safetensors --output gradients.safetensors");
  invocation.run = [options] { return run_gradients(*options); };
}

}  // namespace fathom::cli
