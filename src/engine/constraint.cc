#include "engine/constraint.h"

#include <algorithm>

#include "base/math.h"
#include "engine/answer_parser.h"

namespace fathom {

Constraint::Constraint(std::shared_ptr<const Grammar> grammar, const TokenTrie& trie,
                       int64_t vocab_size, bool after_reasoning, int32_t opener)
    : matcher_(std::move(grammar), trie),
      opener_(opener),
      at_(after_reasoning ? At::kReasoning
          : opener >= 0   ? At::kFree
                          : At::kHolds),
      words_(static_cast<size_t>(ceil_div(vocab_size, 64))) {}

std::span<const uint64_t> Constraint::allowed(std::span<const int32_t> stop_ids) {
  if (!holds()) return {};
  const std::span<const uint64_t> known = matcher_.allowed();
  std::fill(words_.begin(), words_.end(), 0);
  std::copy_n(known.begin(), std::min(known.size(), words_.size()), words_.begin());
  if (matcher_.may_end()) {
    for (const int32_t id : stop_ids)
      words_[static_cast<size_t>(id / 64)] |= uint64_t{1} << (id % 64);
  }
  return words_;
}

void Constraint::accept(int32_t token, std::string_view bytes) {
  switch (at_) {
    case At::kReasoning:
      read_reasoning(bytes);
      break;
    case At::kFree:
      if (token == opener_) at_ = At::kHolds;
      break;
    case At::kHolds:
      matcher_.accept(token);
      if (decides_end() || !matcher_.is_complete()) break;
      matcher_.restart();
      at_ = At::kFree;
      break;
  }
}

void Constraint::read_reasoning(std::string_view bytes) {
  tail_ += bytes;
  const size_t end = tail_.find(kThinkEnd);
  if (end == std::string::npos) {
    if (tail_.size() > kThinkEnd.size()) tail_.erase(0, tail_.size() - (kThinkEnd.size() - 1));
    return;
  }
  at_ = decides_end() ? At::kHolds : At::kFree;
  if (!holds()) return;
  // Blanks between reasoning and answer are no part of it.
  std::string_view rest = std::string_view(tail_).substr(end + kThinkEnd.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(kAnswerBlanks), rest.size()));
  matcher_.accept_bytes(rest);
}

}  // namespace fathom
