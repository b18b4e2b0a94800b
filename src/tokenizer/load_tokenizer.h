// The tokenizer of a model's files: tokenizer.json, or tiktoken.model where that is all there is,
// with tokenizer_config.json beside it; of a GGUF file what its metadata say.
#pragma once

#include "base/result.h"
#include "io/model_files.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

bool has_tokenizer(const ModelFiles& files);
// Errors name the file; one that says so if there is no tokenizer at all.
Result<Tokenizer> load_tokenizer(const ModelFiles& files);

}  // namespace fathom
