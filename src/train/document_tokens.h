// Documents to token ids for training (spec §6.1, §4.5): BOS as the tokenizer's config says, the
// text, EOS; or prefix, suffix and middle in the report's PSM form; or a conversation through the
// chat template, with the loss on all of it or on the answers alone. Which form a document takes
// and which split it belongs to follow from its content.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/prompt.h"
#include "io/model_files.h"
#include "tokenizer/tokenizer.h"
#include "train/documents.h"
#include "train/shards.h"

namespace fathom {

struct DocumentOptions {
  double fim_rate = 0;             // of the texts
  double validation_fraction = 0;  // of the documents
  bool loss_on_answers = false;
};

struct TokenizedDocument {
  uint64_t hash = 0;  // of the content: equal documents have equal ones
  Split split = Split::kTrain;
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask;  // empty: all count
  int64_t text_bytes = 0;
};

class DocumentTokenizer {
 public:
  // files and tokenizer outlive it. Error: the tokenizer lacks what options need.
  static Result<DocumentTokenizer> create(const ModelFiles& files, const Tokenizer& tokenizer,
                                          const DocumentOptions& options);
  // For one thread at a time.
  Result<TokenizedDocument> operator()(const Document& document);

 private:
  DocumentTokenizer(const ModelFiles& files, const Tokenizer& tokenizer,
                    const DocumentOptions& options)
      : tokenizer_(&tokenizer), options_(options), prompt_(files, tokenizer) {}
  void plain(const std::string& text, TokenizedDocument& out) const;
  void fill_in_the_middle(const std::string& text, TokenizedDocument& out) const;
  Status chat(const Document& document, TokenizedDocument& out);
  Result<std::vector<int64_t>> answer_bounds(const Json& chat, const std::string& whole);

  const Tokenizer* tokenizer_;
  DocumentOptions options_;
  PromptBuilder prompt_;
  int32_t fim_begin_ = -1, fim_hole_ = -1, fim_end_ = -1;
};

// Of all tokens: tells shards of two tokenizers apart.
uint64_t tokenizer_digest(const Tokenizer& tokenizer);

}  // namespace fathom
