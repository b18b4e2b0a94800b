// The model of a run: config.json from wherever the run's file says, with what precision and YaRN
// change in it.
#include <string>

#include "io/files.h"
#include "io/json.h"
#include "io/model_files.h"
#include "train/config_reader.h"
#include "train/run_config.h"
#include "train/run_folder.h"

namespace fathom {
namespace {

// What config.json may hold, here where a misspelt field has no other program to be meant for.
const char* const kModelFields[] = {
    "architectures",
    "attention_bias",
    "attention_dropout",
    "auto_map",
    "aux_loss_alpha",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "ep_size",
    "first_k_dense_replace",
    "hidden_act",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "kv_lora_rank",
    "layer_types",
    "max_position_embeddings",
    "mlp_layer_types",
    "model_type",
    "moe_intermediate_size",
    "moe_layer_freq",
    "n_group",
    "n_routed_experts",
    "n_shared_experts",
    "norm_topk_prob",
    "num_attention_heads",
    "num_experts_per_tok",
    "num_hidden_layers",
    "num_key_value_heads",
    "num_nextn_predict_layers",
    "pad_token_id",
    "pretraining_tp",
    "q_lora_rank",
    "qk_head_dim",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "quantization_config",
    "rms_norm_eps",
    "rope_interleave",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "routed_scaling_factor",
    "scoring_func",
    "seq_aux",
    "tie_word_embeddings",
    "topk_group",
    "topk_method",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "v_head_dim",
    "vocab_size",
};

Status check_inline_fields(const RunConfig& run) {
  ConfigReader root(run.document, run.file);
  ConfigReader fields = root.table("model").table("inline");
  for (const char* name : kModelFields) fields.raw(name);
  fields.finish();
  return fields.status();
}

struct ConfigText {
  std::string text;
  std::string name;  // for messages
};

Result<ConfigText> config_text(const RunConfig& run) {
  if (!run.inline_json.empty())
    return ConfigText{run.inline_json, str_cat("model.inline of ", run.file)};
  if (!run.config_path.empty()) {
    FATHOM_TRY(std::string text, read_file(run.config_path));
    return ConfigText{std::move(text), run.config_path};
  }
  FATHOM_TRY(const std::string folder, latest_model_folder(run.init));
  const std::string path = join_path(folder, "config.json");
  FATHOM_TRY(std::string text, read_file(path));
  return ConfigText{std::move(text), path};
}

// What other programs of the family want to see; TOML has no null.
void complete(Json& json) {
  const auto set_if_absent = [&json](std::string_view key, Json value) {
    if (json.find(key) == nullptr) json.set(key, std::move(value));
  };
  const Json* rank = json.find("q_lora_rank");
  if (rank != nullptr && rank->is_int() && rank->as_int() == 0) json.set("q_lora_rank", nullptr);
  set_if_absent("architectures", Json::Array{"DeepseekV3ForCausalLM"});
  set_if_absent("hidden_act", "silu");
  set_if_absent("topk_method", "noaux_tc");
  set_if_absent("scoring_func", "sigmoid");
  if (const Json* heads = json.find("num_attention_heads"))
    set_if_absent("num_key_value_heads", Json(*heads));
}

// How the checkpoints of the run store matrices; ue8m0: with scales that are powers of two.
void set_precision(Json& json, const std::string& precision, bool ue8m0) {
  json.erase("quantization_config");
  json.erase("dtype");
  json.set("torch_dtype", precision == "fp32" ? "float32" : "bfloat16");
  if (precision != "fp8") return;
  Json quantization = Json::Object{{"activation_scheme", "dynamic"},
                                   {"fmt", "e4m3"},
                                   {"quant_method", "fp8"},
                                   {"weight_block_size", Json::Array{int64_t{128}, int64_t{128}}}};
  if (ue8m0) quantization.set("scale_fmt", "ue8m0");
  json.set("quantization_config", std::move(quantization));
}

void set_yarn(Json& json, const RunConfig& run) {
  if (const Json* parameters = json.find("rope_parameters")) {
    if (const Json* theta = parameters->find("rope_theta")) json.set("rope_theta", Json(*theta));
    json.erase("rope_parameters");
  }
  const auto positions =
      static_cast<int64_t>(run.yarn_factor * static_cast<double>(run.yarn_original));
  json.set("max_position_embeddings", positions);
  json.set("rope_scaling", Json::Object{{"beta_fast", int64_t{32}},
                                        {"beta_slow", int64_t{1}},
                                        {"factor", run.yarn_factor},
                                        {"mscale", 1.0},
                                        {"mscale_all_dim", 1.0},
                                        {"original_max_position_embeddings", run.yarn_original},
                                        {"type", "yarn"}});
}

Result<RunModel> checked(const RunConfig& run, std::string json, const std::string& name) {
  RunModel model;
  model.json = std::move(json);
  FATHOM_TRY(model.config, parse_model_config(model.json, name));
  if (run.sequence_length > model.config.max_position_embeddings) {
    return invalid_error(run.file, ": data.sequence_length is ", run.sequence_length,
                         ", the model's max_position_embeddings is ",
                         model.config.max_position_embeddings,
                         "; give shorter sequences, or extend the context (model.yarn)");
  }
  return model;
}

}  // namespace

Result<RunModel> run_model(const RunConfig& run) {
  FATHOM_TRY(const ConfigText source, config_text(run));
  Result<Json> json = parse_json(source.text);
  if (!json.ok()) return invalid_error(source.name, ": ", json.error().message);
  if (!json->is_object())
    return invalid_error(source.name, " holds ", json->type_name(), ", expected an object");
  if (!run.inline_json.empty()) {
    FATHOM_RETURN_IF_ERROR(check_inline_fields(run));
    complete(*json);
  }
  // As it stands, so that what it asks for and cannot have is refused and not written over.
  FATHOM_TRY(const ModelConfig given, parse_model_config(json->dump(), source.name));
  set_precision(*json, run.precision,
                given.quantization_config && given.quantization_config->ue8m0);
  if (run.yarn_factor > 0) set_yarn(*json, run);
  return checked(run, json->dump_pretty() + "\n", source.name);
}

Result<RunModel> resumed_run_model(const RunConfig& run) {
  FATHOM_TRY(const std::string folder, latest_model_folder(run.output));
  if (folder == run.output)
    return invalid_error(run.output, " has no complete checkpoint to resume from");
  const std::string path = join_path(folder, "config.json");
  FATHOM_TRY(std::string text, read_file(path));
  return checked(run, std::move(text), path);
}

}  // namespace fathom
