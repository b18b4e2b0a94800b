#include "engine/loaded_model.h"

#include <algorithm>
#include <limits>

#include "engine/load_plan.h"
#include "engine/machine.h"
#include "model/open_model.h"
#include "tokenizer/load_tokenizer.h"

namespace fathom {

namespace {

constexpr int64_t kConfigBytesMax = int64_t{16} << 20;

Status load_generation_config(LoadedModel& model) {
  if (model.files.exists("generation_config.json")) {
    FATHOM_TRY(const FileBytes file,
               model.files.open_small("generation_config.json", kConfigBytesMax));
    FATHOM_TRY(model.generation,
               parse_generation_config(file.text(), model.files.path_of("generation_config.json")));
  }
  auto& eos = model.generation.eos_token_ids;
  for (const int32_t id : eos) {
    if (id < model.config.vocab_size) continue;
    return invalid_error(model.files.path_of("generation_config.json"), ": eos_token_id ", id,
                         " is not in the vocabulary of ", model.config.vocab_size,
                         "; is it from the same checkpoint?");
  }
  // Those of the config and of the tokenizer are checked where they are read.
  if (eos.empty()) eos = model.config.eos_token_id;
  if (eos.empty() && model.tokenizer && model.tokenizer->eos_token_id())
    eos.push_back(*model.tokenizer->eos_token_id());
  return {};
}

Status load_model_tokenizer(LoadedModel& model, bool needed) {
  if (!needed && !has_tokenizer(model.files)) return {};
  FATHOM_TRY(model.tokenizer, load_tokenizer(model.files));
  if (model.tokenizer->vocab_size() > model.config.vocab_size) {
    return invalid_error(model.files.describe(), ": the tokenizer has ids up to ",
                         model.tokenizer->vocab_size() - 1, ", config.json says vocab_size ",
                         model.config.vocab_size, "; are both files from the same checkpoint?");
  }
  return {};
}

Result<AttentionForm> attention_form(std::string_view name) {
  if (name == "auto") return AttentionForm::kAuto;
  if (name == "naive") return AttentionForm::kNaive;
  if (name == "absorbed") return AttentionForm::kAbsorbed;
  return usage_error("--attention is '", name, "', expected auto, naive or absorbed");
}

Result<Drafting> drafting_of(std::string_view name) {
  if (name == "auto") return Drafting::kAuto;
  if (name == "on") return Drafting::kOn;
  if (name == "off") return Drafting::kOff;
  return usage_error("--drafts is '", name, "', expected auto, on or off");
}

bool has_integer_weights(const ModelWeights& weights) {
  for (const LayerWeights& layer : weights.layers) {
    const MlpWeights& mlp = layer.is_moe ? layer.moe.experts.front() : layer.mlp;
    if (is_block_type(layer.self_attn.o_proj.dtype) || is_block_type(mlp.down_proj.dtype))
      return true;
  }
  return false;
}

}  // namespace

Result<Activations> resolve_activations(std::string_view name, const ModelConfig& config,
                                        const ModelWeights& weights) {
  const bool ue8m0 = config.quantization_config && config.quantization_config->ue8m0;
  const Activations fp8 = ue8m0 ? Activations::kFp8Ue8m0 : Activations::kFp8;
  if (name == "auto") {
    if (has_integer_weights(weights)) return Activations::kInt8;
    if (config.quantization_config) return fp8;
    return weights.layers.front().self_attn.o_proj.dtype == Dtype::kF32 ? Activations::kFull
                                                                        : Activations::kBf16;
  }
  if (name == "fp8") return fp8;
  if (name == "bf16") return Activations::kBf16;
  if (name == "full") return Activations::kFull;
  if (name == "int8") return Activations::kInt8;
  return usage_error("--activations is '", name, "', expected auto, fp8, int8, bf16 or full");
}

Result<KvDtype> resolve_kv_dtype(std::string_view name, Activations activations) {
  if (name == "auto") return activations == Activations::kFull ? KvDtype::kF32 : KvDtype::kBf16;
  if (name == "bf16") return KvDtype::kBf16;
  if (name == "fp8") return KvDtype::kFp8;
  if (name == "f32") return KvDtype::kF32;
  return usage_error("--kv-dtype is '", name, "', expected auto, bf16, fp8 or f32");
}

std::unique_ptr<Engine> LoadedModel::make_engine() {
  const EngineOptions options = {.attention = attention,
                                 .drafting = drafting,
                                 .context = context,
                                 .max_running = max_running,
                                 .prefill_rows = prefill_rows,
                                 .eos_token_ids = generation.eos_token_ids};
  return std::make_unique<Engine>(*transformer, *kv, tokenizer ? &*tokenizer : nullptr, options);
}

Result<std::unique_ptr<LoadedModel>> load_model(const LoadModelOptions& options) {
  FATHOM_TRY(const Isa isa, select_isa(options.isa));
  FATHOM_TRY(OpenedModel opened, open_model(options.path));
  auto model = std::make_unique<LoadedModel>(std::move(opened.files));
  model->config = std::move(opened.config);
  FATHOM_TRY(model->weights, load_weights(model->config, std::move(opened.checkpoint),
                                          {.release_pages = options.max_memory.has_value()}));
  model->weights.notes.insert(model->weights.notes.begin(), opened.notes.begin(),
                              opened.notes.end());
  FATHOM_RETURN_IF_ERROR(load_model_tokenizer(*model, options.needs_tokenizer));
  FATHOM_RETURN_IF_ERROR(load_generation_config(*model));

  FATHOM_TRY(model->activations,
             resolve_activations(options.activations, model->config, model->weights));
  FATHOM_TRY(model->kv_dtype, resolve_kv_dtype(options.kv_dtype, model->activations));
  FATHOM_TRY(model->attention, attention_form(options.attention));
  FATHOM_TRY(model->drafting, drafting_of(options.drafts));
  model->context = options.context.value_or(model->config.max_position_embeddings);
  if (model->context > model->config.max_position_embeddings) {
    return invalid_error("--context is ", model->context,
                         ", the model's max_position_embeddings is ",
                         model->config.max_position_embeddings, "; ask for at most that");
  }
  model->max_running = options.max_running;
  FATHOM_TRY(const LoadPlan plan,
             plan_load(model->config, model->weights,
                       {.max_memory = options.max_memory,
                        .expert_slots = options.expert_slots,
                        .context = model->context,
                        .max_running = model->max_running,
                        .n_threads = options.n_threads,
                        .prefill_rows = std::min(options.prefill_rows, model->context),
                        .kv_dtype = model->kv_dtype,
                        .kv_memory = options.kv_memory}));
  model->prefill_rows = plan.prefill_rows;
  model->pool = std::make_unique<Pool>(options.n_threads);
  const Compute compute = {.isa = isa, .pool = model->pool.get()};
  const int64_t untouched = untouched_memory_bytes();
  model->transformer = std::make_unique<Transformer>(
      model->config, model->weights,
      ModelOptions{
          .activations = model->activations, .kv_dtype = model->kv_dtype, .limits = plan.limits},
      compute);
  FATHOM_TRY(model->kv, KvPool::create(model->transformer->kv_layout(),
                                       model->transformer->n_kv_layers(), plan.kv_bytes));
  if (!plan.streams) return model;
  // Scratch and caches are mapped by now, and touched by the first long pass.
  FATHOM_TRY(model->streamed,
             StreamedWeights::create(
                 model->config, model->weights,
                 {.limit = options.max_memory.value_or(std::numeric_limits<int64_t>::max()),
                  .untouched = untouched_memory_bytes() - untouched,
                  .later = plan.later_bytes,
                  .n_slots = options.expert_slots}));
  model->transformer->set_expert_source(&model->streamed->experts());
  return model;
}

}  // namespace fathom
