#include "tokenizer/load_tokenizer.h"

namespace fathom {

namespace {
constexpr std::string_view kTokenizerJson = "tokenizer.json";
constexpr std::string_view kTiktokenModel = "tiktoken.model";
constexpr std::string_view kTokenizerConfig = "tokenizer_config.json";
}  // namespace

bool has_tokenizer(const ModelFiles& files) {
  if (files.gguf_metadata() != nullptr) {
    // Files without a vocabulary say "none".
    const GgufValue* model = find_gguf_value(*files.gguf_metadata(), "tokenizer.ggml.model");
    return model != nullptr && model->string() != "none" && model->string() != "no_vocab";
  }
  return files.exists(kTokenizerJson) || files.exists(kTiktokenModel);
}

Result<Tokenizer> load_tokenizer(const ModelFiles& files) {
  if (files.gguf_metadata() != nullptr) {
    if (has_tokenizer(files)) return Tokenizer::from_gguf(*files.gguf_metadata(), files.describe());
    return invalid_error(files.describe(),
                         " holds no tokenizer; give ids in place of text, or another file");
  }
  if (!has_tokenizer(files)) {
    return invalid_error(files.describe(), " has neither ", kTokenizerJson, " nor ", kTiktokenModel,
                         "; add the tokenizer of the checkpoint, or give ids in place of text");
  }
  const bool json = files.exists(kTokenizerJson);
  const std::string_view name = json ? kTokenizerJson : kTiktokenModel;
  const int64_t bytes_max = static_cast<int64_t>(Tokenizer::kFileBytesMax);
  FATHOM_TRY(const FileBytes file, files.open_small(name, bytes_max));
  FileBytes config;
  if (files.exists(kTokenizerConfig)) {
    FATHOM_TRY(config, files.open_small(kTokenizerConfig, bytes_max));
  }
  auto tokenizer = json ? Tokenizer::from_json(file.text(), config.text())
                        : Tokenizer::from_tiktoken(file.text(), config.text());
  if (tokenizer.ok()) return tokenizer;
  // The message begins with the file's name, which is one of these two.
  Error error = tokenizer.error();
  for (const std::string_view file_name : {name, kTokenizerConfig}) {
    if (error.message.starts_with(str_cat(file_name, ":"))) {
      error.message.replace(0, file_name.size(), files.path_of(file_name));
      break;
    }
  }
  return error;
}

}  // namespace fathom
