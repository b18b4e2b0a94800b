#include "train/document_tokens.h"

#include <algorithm>
#include <string_view>

#include "base/mix64.h"
#include "base/utf8.h"
#include "base/xxh64.h"

namespace fathom {
namespace {

constexpr std::string_view kFimBegin = "<｜fim▁begin｜>";
constexpr std::string_view kFimHole = "<｜fim▁hole｜>";
constexpr std::string_view kFimEnd = "<｜fim▁end｜>";

uint64_t hash_of(std::string_view text) {
  Xxh64 sum;
  sum.update(text);
  return sum.digest();
}

// In [0, 1): the n-th number drawn for a document.
double draw(uint64_t hash, uint64_t n) {
  return static_cast<double>(mix64(mix64(hash) + n) >> 11) * 0x1p-53;
}

// Where a character begins, at or before that share of the text.
size_t cut_at(const std::string& text, double share) {
  auto at = static_cast<size_t>(share * static_cast<double>(text.size()));
  while (at > 0 && continues_utf8(text[at])) --at;
  return at;
}

// Bytes [begin, end) of rendered parts.
std::vector<TextPart> slice(const std::vector<RenderedPart>& parts, size_t begin, size_t end) {
  std::vector<TextPart> out;
  size_t at = 0;
  for (const RenderedPart& part : parts) {
    const size_t from = std::max(begin, at), to = std::min(end, at + part.text.size());
    if (from < to)
      out.push_back({std::string_view(part.text).substr(from - at, to - from), part.trusted});
    at += part.text.size();
  }
  return out;
}

}  // namespace

uint64_t tokenizer_digest(const Tokenizer& tokenizer) {
  Xxh64 sum;
  for (int64_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(static_cast<int32_t>(id));
    sum.update(str_cat(bytes.size(), ":"));
    sum.update(bytes);
  }
  return sum.digest();
}

Result<DocumentTokenizer> DocumentTokenizer::create(const ModelFiles& files,
                                                    const Tokenizer& tokenizer,
                                                    const DocumentOptions& options) {
  DocumentTokenizer out(files, tokenizer, options);
  if (!tokenizer.eos_token_id())
    return invalid_error("the tokenizer of ", files.describe(),
                         " names no eos_token, which ends every document");
  if (options.fim_rate > 0) {
    for (const auto& [text, id] :
         {std::pair{kFimBegin, &out.fim_begin_}, std::pair{kFimHole, &out.fim_hole_},
          std::pair{kFimEnd, &out.fim_end_}}) {
      const std::optional<int32_t> found = tokenizer.token_to_id(text);
      if (!found)
        return invalid_error("the tokenizer of ", files.describe(), " has no token ", text,
                             ", which --fim-rate needs");
      *id = *found;
    }
  }
  return out;
}

Result<TokenizedDocument> DocumentTokenizer::operator()(const Document& document) {
  TokenizedDocument out;
  out.hash = hash_of(document.chat ? document.chat->dump() : document.text);
  if (draw(out.hash, 0) < options_.validation_fraction) out.split = Split::kValidation;
  if (document.chat) {
    FATHOM_RETURN_IF_ERROR(chat(document, out));
  } else if (out.split == Split::kTrain && draw(out.hash, 1) < options_.fim_rate) {
    fill_in_the_middle(document.text, out);
  } else {
    plain(document.text, out);
  }
  return out;
}

void DocumentTokenizer::plain(const std::string& text, TokenizedDocument& out) const {
  out.ids = tokenizer_->encode(text, {.add_special = true, .recognize_added = false});
  if (!tokenizer_->add_eos_token()) out.ids.push_back(*tokenizer_->eos_token_id());
  out.text_bytes = std::ssize(text);
}

void DocumentTokenizer::fill_in_the_middle(const std::string& text, TokenizedDocument& out) const {
  size_t first = cut_at(text, draw(out.hash, 2)), second = cut_at(text, draw(out.hash, 3));
  if (first > second) std::swap(first, second);
  const auto append = [&](std::string_view piece) {
    const std::vector<int32_t> ids = tokenizer_->encode(piece, {.recognize_added = false});
    out.ids.insert(out.ids.end(), ids.begin(), ids.end());
  };
  if (tokenizer_->add_bos_token() && tokenizer_->bos_token_id())
    out.ids.push_back(*tokenizer_->bos_token_id());
  out.ids.push_back(fim_begin_);
  append(std::string_view(text).substr(0, first));
  out.ids.push_back(fim_hole_);
  append(std::string_view(text).substr(second));
  out.ids.push_back(fim_end_);
  append(std::string_view(text).substr(first, second - first));
  out.ids.push_back(*tokenizer_->eos_token_id());
  out.text_bytes = std::ssize(text);
}

// Begin and end of every answer in the rendered text: what the template adds from the point where
// it asks for the answer.
Result<std::vector<int64_t>> DocumentTokenizer::answer_bounds(const Json& chat,
                                                              const std::string& whole) {
  std::vector<int64_t> bounds;
  const Json::Array& messages = chat.find("messages")->as_array();
  for (size_t i = 0; i < messages.size(); ++i) {
    const Json* role = messages[i].find("role");
    if (role == nullptr || !role->is_string() || role->as_string() != "assistant") continue;
    Json before = chat, after = chat;
    before.set("messages",
               Json::Array(messages.begin(), messages.begin() + static_cast<int64_t>(i)));
    before.set("add_generation_prompt", true);
    after.set("messages",
              Json::Array(messages.begin(), messages.begin() + static_cast<int64_t>(i) + 1));
    FATHOM_TRY(const Rendered asked, prompt_.render(before));
    FATHOM_TRY(const Rendered answered, prompt_.render(after));
    const std::string begin = asked.text(), end = answered.text();
    if (!end.starts_with(begin) || !whole.starts_with(end))
      return invalid_error("the chat template writes answer ", i,
                           " differently once it is "
                           "answered; train on all of it (without --loss-on-answers)");
    bounds.push_back(std::ssize(begin));
    bounds.push_back(std::ssize(end));
  }
  return bounds;
}

Status DocumentTokenizer::chat(const Document& document, TokenizedDocument& out) {
  const Result<Rendered> rendered = prompt_.render(*document.chat);
  if (!rendered.ok()) return invalid_error(document.where, ": ", rendered.error().message);
  const std::string whole = rendered->text();
  std::vector<int64_t> bounds;
  if (options_.loss_on_answers) {
    Result<std::vector<int64_t>> answers = answer_bounds(*document.chat, whole);
    if (!answers.ok()) return invalid_error(document.where, ": ", answers.error().message);
    bounds = std::move(*answers);
  }
  bounds.push_back(std::ssize(whole));
  int64_t at = 0;
  bool answer = !options_.loss_on_answers;
  for (const int64_t end : bounds) {
    const std::vector<int32_t> ids = tokenizer_->encode_parts(
        slice(rendered->parts, static_cast<size_t>(at), static_cast<size_t>(end)),
        /*add_special=*/false);
    out.ids.insert(out.ids.end(), ids.begin(), ids.end());
    if (options_.loss_on_answers) out.mask.insert(out.mask.end(), ids.size(), answer ? 1 : 0);
    answer = !answer;
    at = end;
  }
  const int32_t eos = *tokenizer_->eos_token_id();
  if (out.ids.empty() || out.ids.back() != eos) {
    out.ids.push_back(eos);
    if (options_.loss_on_answers) out.mask.push_back(0);
  }
  out.text_bytes = std::ssize(whole);
  return {};
}

}  // namespace fathom
