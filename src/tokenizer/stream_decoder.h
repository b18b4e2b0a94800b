// Ids to text as they come: after each id all that is certain, which is everything but an
// incomplete character at the end that a further byte could still complete. The pieces joined are
// what Tokenizer::decode gives for all ids.
#pragma once

#include <cstdint>
#include <string>

#include "tokenizer/tokenizer.h"

namespace fathom {

class StreamDecoder {
 public:
  // Shares the tokenizer's data; one decoder per stream, not for several threads at once.
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
      : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}

  // What is certain now and was not before; always UTF-8, often empty. The second form appends.
  std::string push(int32_t id);
  void push(int32_t id, std::string& out);
  // What is left: U+FFFD if an incomplete character waits. The decoder is as new afterwards.
  std::string finish();
  void finish(std::string& out);

 private:
  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  std::string pending_;  // an incomplete character, at most 3 bytes, between calls
};

}  // namespace fathom
