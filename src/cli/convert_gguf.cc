#include "cli/convert_gguf.h"

#include <filesystem>

#include "io/printable.h"
#include "model/convert_gguf.h"
#include "model/open_model.h"
#include "tokenizer/load_tokenizer.h"

namespace fathom::cli {

namespace {

struct TypeName {
  std::string_view name;
  Dtype dtype;
};
constexpr TypeName kTypes[] = {
    {"f32", Dtype::kF32},   {"f16", Dtype::kF16},   {"bf16", Dtype::kBF16}, {"q8_0", Dtype::kQ8_0},
    {"q4_0", Dtype::kQ4_0}, {"q4_k", Dtype::kQ4_K}, {"q5_k", Dtype::kQ5_K}, {"q6_k", Dtype::kQ6_K}};

Result<std::optional<Dtype>> parse_type(std::string_view text) {
  if (text.empty()) return std::optional<Dtype>();
  std::string names;
  for (const TypeName& type : kTypes) {
    if (type.name == text) return std::optional<Dtype>(type.dtype);
    str_append(names, names.empty() ? "" : ", ", type.name);
  }
  return usage_error("--quantize is '", printable(text, 40), "', expected for a GGUF file one of ",
                     names);
}

// What the file is called inside: the folder's name.
std::string model_name(const std::string& path) {
  std::filesystem::path name = std::filesystem::path(path).lexically_normal();
  if (!name.has_filename()) name = name.parent_path();
  return printable(name.stem().string());
}

Status add_tokenizer(const OpenedModel& model, GgufPlan& plan) {
  if (!has_tokenizer(model.files)) {
    plan.metadata.add_string("tokenizer.ggml.model", "none");
    plan.notes.push_back(model.files.describe() + " has no tokenizer: the file will take ids only");
    return {};
  }
  FATHOM_TRY(const Tokenizer tokenizer, load_tokenizer(model.files));
  return tokenizer.add_to_gguf(model.config.vocab_size, plan.metadata);
}

}  // namespace

Status convert_to_gguf(const ConversionCommand& command, const std::string& quantize,
                       std::optional<int64_t> part_bytes) {
  FATHOM_TRY(const std::optional<Dtype> type, parse_type(quantize));
  if (!is_gguf_path(command.out))
    return usage_error("OUT is ", printable(command.out),
                       ", expected the name of a file that ends with .gguf");
  FATHOM_TRY(const OpenedModel model, open_model(command.in));
  FATHOM_TRY(GgufPlan plan, plan_gguf(model, type, model_name(command.in)));
  FATHOM_RETURN_IF_ERROR(add_tokenizer(model, plan));
  FATHOM_TRY(const ConversionPlan files, plan_gguf_files(std::move(plan), command.out, part_bytes));
  return carry_out(command, files, model.files, "Converting");
}

Status convert_from_gguf(const ConversionCommand& command, int64_t shard_bytes) {
  FATHOM_TRY(const OpenedModel model, open_model(command.in));
  FATHOM_TRY(ConversionPlan plan, plan_from_gguf(model, shard_bytes));
  if (has_tokenizer(model.files)) {
    FATHOM_TRY(const Tokenizer tokenizer, load_tokenizer(model.files));
    FATHOM_TRY(std::string text, tokenizer.to_json());
    plan.texts.emplace(plan.texts.begin(), "tokenizer.json", std::move(text));
  }
  return carry_out(command, plan, model.files, "Converting");
}

}  // namespace fathom::cli
