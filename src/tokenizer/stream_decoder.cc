#include "tokenizer/stream_decoder.h"

#include "base/utf8.h"

namespace fathom {

void StreamDecoder::push(int32_t id, std::string& out) {
  if (!tokenizer_.is_valid_id(id)) return;
  if (tokenizer_.is_added(id)) {
    // As if it were not there: bytes behind a dropped token may complete the character before it.
    if (skip_special_tokens_ && tokenizer_.is_special(id)) return;
    finish(out);
    out += tokenizer_.token_bytes(id);
    return;
  }
  pending_ += tokenizer_.token_bytes(id);
  const size_t certain = pending_.size() - utf8_incomplete_tail(pending_);
  append_utf8_lossy(out, std::string_view(pending_).substr(0, certain));
  pending_.erase(0, certain);
}

std::string StreamDecoder::push(int32_t id) {
  std::string out;
  push(id, out);
  return out;
}

void StreamDecoder::finish(std::string& out) {
  append_utf8_lossy(out, pending_);
  pending_.clear();
}

std::string StreamDecoder::finish() {
  std::string out;
  finish(out);
  return out;
}

}  // namespace fathom
