#include "engine/answer_parser.h"

#include <algorithm>
#include <utility>

#include "engine/call_form.h"

namespace fathom {

namespace {

constexpr std::string_view kThink = "<think>";
constexpr std::string_view kFence = "```json\n", kFenceEnd = "\n```";
// Longer names are none.
constexpr size_t kNameBytesMax = 256;

// How much of the end of text could be the beginning of marker.
size_t open_end(std::string_view text, std::string_view marker) {
  for (size_t n = std::min(marker.size() - 1, text.size()); n > 0; --n)
    if (text.ends_with(marker.substr(0, n))) return n;
  return 0;
}

std::string_view without_blanks(std::string_view text) {
  const size_t first = text.find_first_not_of(kAnswerBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kAnswerBlanks) + 1 - first);
}

// "functions.NAME:0" -> NAME (Kimi-K2).
std::string_view bare_name(std::string_view name) {
  name = without_blanks(name);
  if (name.starts_with("functions.")) {
    name.remove_prefix(10);
    name = name.substr(0, name.rfind(':'));
  }
  return name;
}

}  // namespace

bool opens_reasoning(std::string_view prompt_end) {
  const size_t last = prompt_end.find_last_not_of(kAnswerBlanks);
  return last != std::string_view::npos && prompt_end.substr(0, last + 1).ends_with(kThink);
}

AnswerParser::AnswerParser(const AnswerParserOptions& options)
    : options_(options),
      state_(options.in_reasoning && options.splits_reasoning ? State::kReasoning
                                                              : State::kContent) {}

void AnswerParser::push(std::string_view text, Parts& parts) {
  held_ += text;
  while (advance(parts)) {
  }
}

void AnswerParser::finish(Parts& parts) {
  switch (state_) {
    case State::kReasoning:
      show(AnswerPart::Kind::kReasoning, std::move(held_), parts);
      break;
    case State::kContent:
      show(AnswerPart::Kind::kContent, std::move(held_), parts);
      break;
    case State::kBetween:
      if (!raw_.empty() || !without_blanks(held_).empty())
        show(AnswerPart::Kind::kContent, raw_ + held_, parts);
      break;
    case State::kHead:
    case State::kName:
      show(AnswerPart::Kind::kContent, raw_ + held_, parts);
      break;
    case State::kFence:  // cut off before the arguments
      break;
    case State::kArguments:
      show(AnswerPart::Kind::kArguments, std::move(held_), parts);
      break;
  }
  held_.clear();
}

// True while something more can be done with what is held.
bool AnswerParser::advance(Parts& parts) {
  switch (state_) {
    case State::kReasoning:
    case State::kContent:
      return advance_text(parts);
    case State::kBetween:
      return advance_between(parts);
    case State::kHead:
      return advance_head(parts);
    case State::kName:
      return advance_name(parts);
    case State::kFence:
      return advance_fence();
    case State::kArguments:
      return advance_arguments(parts);
  }
  return false;
}

void AnswerParser::show(AnswerPart::Kind kind, std::string text, Parts& parts) {
  if (text.empty()) return;
  if (text.find_first_not_of(kAnswerBlanks) != std::string::npos) shown_ = true;
  parts.push_back({kind, std::move(text)});
}

void AnswerParser::take(size_t n, State state) {
  const auto in_head = [](State s) {
    return s == State::kBetween || s == State::kHead || s == State::kName;
  };
  if (in_head(state) && (state_ == State::kContent || !raw_.empty() || state == State::kHead))
    raw_.append(held_, 0, n);
  held_.erase(0, n);
  state_ = state;
}

bool AnswerParser::advance_text(Parts& parts) {
  const bool reasons = state_ == State::kReasoning;
  const auto kind = reasons ? AnswerPart::Kind::kReasoning : AnswerPart::Kind::kContent;
  size_t at = std::string::npos, keep = 0, length = 0;
  State next = State::kContent;
  const CallMarkers* form = nullptr;
  const auto await = [&](std::string_view marker, State state, const CallMarkers* of) {
    const size_t found = held_.find(marker);
    if (found < at) {
      at = found;
      length = marker.size();
      next = state;
      form = of;
    }
    keep = std::max(keep, open_end(held_, marker));
  };
  if (reasons) {
    await(kThinkEnd, State::kContent, nullptr);
  } else {
    // A model opens its reasoning at the very beginning or not at all.
    if (options_.splits_reasoning && !shown_) await(kThink, State::kReasoning, nullptr);
    if (options_.parses_calls)
      for (const CallMarkers& one : call_markers()) await(one.section, State::kBetween, &one);
  }
  if (at == std::string::npos) {
    show(kind, held_.substr(0, held_.size() - keep), parts);
    held_.erase(0, held_.size() - keep);
    return false;
  }
  const std::string before = held_.substr(0, at);
  if (next == State::kReasoning && !without_blanks(before).empty()) {
    // Too late for reasoning: this marker is content.
    show(kind, held_.substr(0, at + length), parts);
    take(at + length, state_);
    return true;
  }
  show(kind, before, parts);
  take(at + length, next);
  form_ = form;
  return true;
}

bool AnswerParser::advance_between(Parts& parts) {
  const size_t call = held_.find(form_->call), end = held_.find(form_->section_end);
  const size_t at = std::min(call, end);
  if (at == std::string::npos) return false;
  std::string between = held_.substr(0, at);
  held_.erase(0, at);
  if (!raw_.empty()) {
    raw_ += between;
  } else if (!without_blanks(between).empty()) {
    show(AnswerPart::Kind::kContent, std::move(between), parts);
  }
  if (call < end) {
    take(form_->call.size(), State::kHead);
    return true;
  }
  if (!raw_.empty())
    show(AnswerPart::Kind::kContent, raw_ + std::string(form_->section_end), parts);
  raw_.clear();
  take(form_->section_end.size(), State::kContent);
  return true;
}

// Up to the separator: the name, or of the first versions the call's type.
bool AnswerParser::advance_head(Parts& parts) {
  const size_t separator = held_.find(form_->separator), end = held_.find(form_->call_end);
  if (separator == std::string::npos && end == std::string::npos) {
    if (held_.size() <= kNameBytesMax + form_->separator.size()) return false;
    give_up(parts);
    return true;
  }
  if (end < separator) {
    raw_.append(held_, 0, end + form_->call_end.size());
    held_.erase(0, end + form_->call_end.size());
    show(AnswerPart::Kind::kContent, std::exchange(raw_, {}), parts);
    state_ = State::kBetween;
    return true;
  }
  const std::string name(bare_name(std::string_view(held_).substr(0, separator)));
  const size_t n = separator + form_->separator.size();
  if (name == "function") {
    take(n, State::kName);
    return true;
  }
  take(n, State::kArguments);
  fenced_ = false;
  begin_call(name, parts);
  return true;
}

// "NAME\n```json\n".
bool AnswerParser::advance_name(Parts& parts) {
  const size_t end = held_.find('\n');
  if (end == std::string::npos) {
    if (held_.size() <= kNameBytesMax && held_.find(form_->call_end) == std::string::npos)
      return false;
    give_up(parts);
    return true;
  }
  const std::string name(without_blanks(std::string_view(held_).substr(0, end)));
  take(end + 1, State::kFence);
  begin_call(name, parts);
  return true;
}

bool AnswerParser::advance_fence() {
  if (held_.size() < kFence.size() && kFence.starts_with(held_)) return false;
  fenced_ = held_.starts_with(kFence);
  take(fenced_ ? kFence.size() : 0, State::kArguments);
  return true;
}

bool AnswerParser::advance_arguments(Parts& parts) {
  const size_t end = held_.find(form_->call_end);
  if (end == std::string::npos) {
    // Not what may be the end of the fence or of the call.
    size_t keep = open_end(held_, form_->call_end);
    if (fenced_) {
      const std::string_view before = std::string_view(held_).substr(0, held_.size() - keep);
      keep += before.ends_with(kFenceEnd) ? kFenceEnd.size()
              : keep == 0                 ? open_end(before, kFenceEnd)
                                          : 0;
    }
    show(AnswerPart::Kind::kArguments, held_.substr(0, held_.size() - keep), parts);
    held_.erase(0, held_.size() - keep);
    return false;
  }
  std::string arguments = held_.substr(0, end);
  if (fenced_ && std::string_view(arguments).ends_with(kFenceEnd))
    arguments.resize(arguments.size() - kFenceEnd.size());
  show(AnswerPart::Kind::kArguments, std::move(arguments), parts);
  take(end + form_->call_end.size(), State::kBetween);
  return true;
}

void AnswerParser::begin_call(std::string name, Parts& parts) {
  raw_.clear();
  ++n_calls_;
  parts.push_back({AnswerPart::Kind::kCall, std::move(name)});
}

// What began like a call is none: it is content, and so is what follows.
void AnswerParser::give_up(Parts& parts) {
  show(AnswerPart::Kind::kContent, std::exchange(raw_, {}), parts);
  state_ = State::kContent;
}

}  // namespace fathom
