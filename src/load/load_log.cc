#include "load/load_log.h"

#include <algorithm>
#include <cmath>

#include "base/mix64.h"
#include "base/str_cat.h"
#include "io/printable.h"

namespace fathom {

namespace {

constexpr size_t kShownBytes = 60;

// values are sorted.
double quantile(const std::vector<double>& values, double q) {
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, values.size() - 1);
  const double share = at - static_cast<double>(low);
  return values[low] + (values[high] - values[low]) * share;
}

double per_second(int64_t n, double seconds) {
  return seconds > 0 ? static_cast<double>(n) / seconds : 0;
}

// The text around a place.
std::string excerpt(const std::string& text, size_t at) {
  const size_t begin = at - std::min(at, kShownBytes / 2);
  return str_cat("'", printable(std::string_view(text).substr(begin, kShownBytes)), "'");
}

}  // namespace

std::string failure_kind(const RequestRecord& record) {
  switch (record.outcome) {
    case Outcome::kStatus:
      return str_cat("status ", record.status);
    case Outcome::kStreamError:
      return "error in the stream";
    case Outcome::kTimeout:
      return "timeout";
    case Outcome::kCut:
      return "cut stream";
    case Outcome::kMalformed:
      return "malformed";
    case Outcome::kUnreachable:
      return "unreachable";
    case Outcome::kCompleted:
    case Outcome::kStopped:
      break;
  }
  return "";
}

void LoadLog::add_piece(double at_s, double gap_s) {
  const auto bucket = static_cast<size_t>(std::max(0.0, (elapsed_s_ + at_s) / kBucketSeconds));
  if (bucket < kBucketsMax) {
    if (bucket >= pieces_.size()) pieces_.resize(bucket + 1);
    ++pieces_[bucket];
  }
  if (gap_s < 0) return;
  ++n_gaps_;
  if (gaps_.size() < kGapsMax) {
    gaps_.push_back(static_cast<float>(gap_s));
  } else if (const uint64_t at = mix64(n_gaps_) % n_gaps_; at < kGapsMax) {
    gaps_[at] = static_cast<float>(gap_s);  // each so far stands there with the same chance
  }
}

void LoadLog::add(RequestRecord record, const std::string& text) {
  if (keeps_texts_ && record.outcome == Outcome::kCompleted) compare(record.prompt_id, text);
  records_.push_back(std::move(record));
}

void LoadLog::end_round(double elapsed_s, int64_t peak_in_flight) {
  elapsed_s_ += elapsed_s;
  peak_in_flight_ = std::max(peak_in_flight_, peak_in_flight);
}

void LoadLog::compare(int64_t prompt_id, const std::string& text) {
  const auto [first, is_new] = texts_.try_emplace(prompt_id, text);
  if (is_new) return;
  ++n_compared_;
  const std::string& before = first->second;
  if (before == text) return;
  ++n_mismatched_;
  if (!mismatch_.empty()) return;
  const auto shorter = std::min(before.size(), text.size());
  size_t at = 0;
  while (at < shorter && before[at] == text[at]) ++at;
  mismatch_ = str_cat("prompt ", prompt_id, ", byte ", at, ": ", excerpt(before, at), ", then ",
                      excerpt(text, at));
}

Quantiles quantiles_of(std::vector<double> values) {
  Quantiles out;
  out.n = static_cast<int64_t>(values.size());
  if (values.empty()) return out;
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (const double value : values) sum += value;
  out.mean = sum / static_cast<double>(values.size());
  out.p50 = quantile(values, 0.5);
  out.p90 = quantile(values, 0.9);
  out.p99 = quantile(values, 0.99);
  out.max = values.back();
  return out;
}

LoadSummary summarize(const LoadLog& log) {
  LoadSummary out;
  std::vector<double> first, token, whole, prompt_length, answer_length;
  for (const RequestRecord& record : log.records()) {
    out.n_refused += record.n_refused;
    if (record.outcome == Outcome::kStopped) {
      ++out.n_stopped;
      continue;
    }
    if (record.outcome != Outcome::kCompleted) {
      ++out.n_failed;
      FailureCount& failure = out.failures[failure_kind(record)];
      if (failure.n++ == 0) failure.example = record.message;
      continue;
    }
    ++out.n_completed;
    const TokenUsage& usage = record.usage;
    out.server_counted = out.server_counted && record.has_usage;
    out.prompt_tokens += usage.prompt_tokens;
    out.cached_tokens += std::min(usage.cached_tokens, usage.prompt_tokens);
    out.completion_tokens += usage.completion_tokens;
    whole.push_back(record.end_s - record.due_s);
    prompt_length.push_back(static_cast<double>(usage.prompt_tokens));
    answer_length.push_back(static_cast<double>(usage.completion_tokens));
    if (record.n_pieces == 0) {
      ++out.n_empty;
      continue;
    }
    first.push_back(record.first_s - record.due_s);
    if (usage.completion_tokens > 1 && record.n_pieces > 1)
      token.push_back((record.last_s - record.first_s) /
                      static_cast<double>(usage.completion_tokens - 1));
  }
  out.elapsed_s = log.elapsed_s();
  out.requests_per_s = per_second(out.n_completed, out.elapsed_s);
  out.computed_tokens_per_s = per_second(out.prompt_tokens - out.cached_tokens, out.elapsed_s);
  out.cached_tokens_per_s = per_second(out.cached_tokens, out.elapsed_s);
  out.output_tokens_per_s = per_second(out.completion_tokens, out.elapsed_s);
  out.peak_in_flight = log.peak_in_flight();
  out.first_s = quantiles_of(std::move(first));
  out.gap_s = quantiles_of({log.gaps().begin(), log.gaps().end()});
  out.token_s = quantiles_of(std::move(token));
  out.whole_s = quantiles_of(std::move(whole));
  out.prompt_length = quantiles_of(std::move(prompt_length));
  out.answer_length = quantiles_of(std::move(answer_length));
  return out;
}

}  // namespace fathom
