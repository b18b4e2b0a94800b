// What a load has seen of one server, over all its rounds, and the figures that are made of it.
// All times are in seconds; those of a request count from the beginning of its round.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "load/api.h"

namespace fathom {

enum class Outcome : uint8_t {
  kCompleted,
  kStatus,       // an answer with another status than 200
  kStreamError,  // an error as an event of the stream
  kTimeout,
  kCut,        // the stream ended without its end
  kMalformed,  // no HTTP, no events, no JSON
  kUnreachable,
  kStopped,  // by us: neither completed nor failed
};

struct RequestRecord {
  int64_t prompt_id = 0;  // equal for equal requests
  Outcome outcome = Outcome::kStopped;
  int status = 0;
  std::string message;  // of a failure
  double due_s = 0;     // when it should have been sent: latencies count from here
  double first_s = -1;  // the first piece with text; -1: there was none
  double last_s = -1;
  double end_s = 0;
  int64_t n_pieces = 0;  // with text
  bool has_usage = false;
  TokenUsage usage;       // as the server counted; without usage completion_tokens is n_pieces
  int64_t n_refused = 0;  // 429 that were waited for
};

// "status 401", "timeout": what reports call a failure.
std::string failure_kind(const RequestRecord& record);

class LoadLog {
 public:
  // keep_texts: answers to equal prompts are compared.
  explicit LoadLog(bool keep_texts = false) : keeps_texts_(keep_texts) {}

  static constexpr double kBucketSeconds = 0.1;

  // at_s: since the beginning of the round. gap_s: since the piece before, < 0 if it is the first.
  void add_piece(double at_s, double gap_s);
  void add(RequestRecord record, const std::string& text);
  void end_round(double elapsed_s, int64_t peak_in_flight);

  const std::vector<RequestRecord>& records() const { return records_; }
  // Seconds between pieces. Of more than kGapsMax a fair sample.
  const std::vector<float>& gaps() const { return gaps_; }
  // Pieces in each kBucketSeconds of the time that was measured, rounds one after the other.
  const std::vector<int64_t>& pieces() const { return pieces_; }
  double elapsed_s() const { return elapsed_s_; }
  int64_t peak_in_flight() const { return peak_in_flight_; }

  bool keeps_texts() const { return keeps_texts_; }
  int64_t n_compared() const { return n_compared_; }
  int64_t n_mismatched() const { return n_mismatched_; }
  // Where the first two that differ part; empty if none do.
  const std::string& mismatch() const { return mismatch_; }

 private:
  static constexpr size_t kGapsMax = 4'000'000;
  static constexpr size_t kBucketsMax = 2'000'000;

  void compare(int64_t prompt_id, const std::string& text);

  bool keeps_texts_;
  std::vector<RequestRecord> records_;
  std::vector<float> gaps_;
  uint64_t n_gaps_ = 0;
  std::vector<int64_t> pieces_;
  double elapsed_s_ = 0;
  int64_t peak_in_flight_ = 0;
  std::unordered_map<int64_t, std::string> texts_;
  int64_t n_compared_ = 0, n_mismatched_ = 0;
  std::string mismatch_;
};

struct Quantiles {
  int64_t n = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, max = 0;
};
// Between two values in proportion (as NumPy's percentile).
Quantiles quantiles_of(std::vector<double> values);

struct FailureCount {
  int64_t n = 0;
  std::string example;  // the first message
};

struct LoadSummary {
  int64_t n_completed = 0, n_failed = 0, n_stopped = 0;
  std::map<std::string, FailureCount> failures;  // by failure_kind()
  int64_t n_refused = 0;                         // answers 429 that were waited for
  int64_t n_empty = 0;                           // completed without a word
  bool server_counted = true;                    // false: some tokens are counted by pieces
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;  // of completed ones
  double elapsed_s = 0;
  double requests_per_s = 0;         // completed
  double computed_tokens_per_s = 0;  // of prompts, those from a cache not counted
  double cached_tokens_per_s = 0;
  double output_tokens_per_s = 0;
  int64_t peak_in_flight = 0;
  Quantiles first_s;  // from due to the first piece
  Quantiles gap_s;    // between pieces of an answer
  Quantiles token_s;  // of an answer: from the first piece to the last, by its tokens less one
  Quantiles whole_s;  // from due to the end
  Quantiles prompt_length, answer_length;  // tokens
};
LoadSummary summarize(const LoadLog& log);

}  // namespace fathom
