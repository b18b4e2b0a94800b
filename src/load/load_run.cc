#include "load/load_run.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <memory>

#include "base/seconds_since.h"
#include "base/str_cat.h"
#include "load/arrivals.h"
#include "load/sse.h"

namespace fathom {

namespace {

using Clock = HttpClient::Clock;

constexpr size_t kErrorBodyBytesMax = 16 << 10;
constexpr double kRetryAfterSeconds = 1;  // where a 429 does not say when to come again
constexpr double kRetryAfterMax = 3600;

// "2", "0.5"; a date or nothing is taken for the default.
double retry_after_seconds(const std::string& text) {
  double seconds = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, seconds, std::chars_format::fixed);
  const bool is_number = ec == std::errc() && rest == end && seconds >= 0;
  return is_number ? std::min(seconds, kRetryAfterMax) : kRetryAfterSeconds;
}

class Round {
 public:
  Round(HttpClient& client, const LoadServer& server, const LoadRound& round, LoadLog& log)
      : client_(client),
        server_(server),
        round_(round),
        log_(log),
        arrivals_(round.rate > 0 ? round.rate : 1, round.seed) {}

  void run();

  // For the requests that are under way.
  double now_s() const { return seconds_since(start_); }
  double timeout_s() const { return round_.timeout_s; }
  LoadLog& log() { return log_; }
  // seconds: since the beginning of the round.
  void at(double seconds, std::function<void()> f) {
    const auto when = std::chrono::duration<double>(seconds);
    client_.at(start_ + std::chrono::duration_cast<Clock::duration>(when), std::move(f));
  }
  void send(const std::string& body, double timeout_s, std::shared_ptr<HttpReceiver> receiver);
  void rests(int64_t n) { in_flight_ -= n; }  // it waits after a 429
  void ended(RequestRecord record, const std::string& text);

 private:
  bool may_begin(double due_s) const {
    return !stopped_ && n_begun_ < round_.n_requests &&
           (round_.duration_s == 0 || due_s < round_.duration_s);
  }
  void begin(double due_s);
  void next_arrival();
  void fill();

  HttpClient& client_;
  const LoadServer& server_;
  const LoadRound& round_;
  LoadLog& log_;
  PoissonArrivals arrivals_;
  Clock::time_point start_;
  std::deque<double> waiting_;  // due, and no place free
  int64_t n_begun_ = 0;         // due so far
  int64_t n_sent_ = 0;
  int64_t n_open_ = 0;     // begun and not ended
  int64_t in_flight_ = 0;  // of them, sent and not answered to the end
  int64_t peak_ = 0;
  double last_end_s_ = 0;
  bool stopped_ = false;
};

// One request: the receiver of its stream, again after each 429.
class Ask final : public HttpReceiver, public std::enable_shared_from_this<Ask> {
 public:
  Ask(Round& round, LoadRequest request, double due_s)
      : round_(round), request_(std::move(request)), begun_s_(round.now_s()) {
    record_.prompt_id = request_.prompt_id;
    record_.due_s = due_s;
  }

  void send() {
    head_ = {};
    body_.clear();
    const double used_s = record_.n_refused == 0 ? 0 : round_.now_s() - begun_s_;
    round_.send(request_.body, round_.timeout_s() - used_s, shared_from_this());
  }
  void on_head(const HttpAnswerHead& head) override { head_ = head; }
  HttpWant on_body(std::string_view bytes) override;
  void on_end(HttpEnd end, const std::string& why) override;

 private:
  bool is_stream() const {
    return head_.status == 200 && head_.content_type.starts_with("text/event-stream");
  }
  bool on_event(std::string_view data);
  bool fail(Outcome outcome, std::string message) {
    record_.outcome = outcome;
    record_.message = std::move(message);
    failed_ = true;
    return false;
  }
  bool wait_and_send_again();
  void judge(HttpEnd end, const std::string& why);

  Round& round_;
  LoadRequest request_;
  double begun_s_;
  RequestRecord record_;
  HttpAnswerHead head_;
  SseParser events_;
  std::string body_;  // of an answer that is no stream
  std::string text_;
  bool is_done_ = false, is_finished_ = false, failed_ = false;
};

HttpWant Ask::on_body(std::string_view bytes) {
  if (!is_stream()) {
    body_ += bytes.substr(0, kErrorBodyBytesMax - std::min(kErrorBodyBytesMax, body_.size()));
    return HttpWant::kMore;
  }
  if (is_done_) return HttpWant::kMore;
  const bool was_well =
      events_.feed(bytes, [this](std::string_view data) { return on_event(data); });
  if (is_done_) return HttpWant::kEnd;
  if (was_well) return HttpWant::kMore;
  if (!failed_) fail(Outcome::kMalformed, "an event of the stream is longer than 16 MiB");
  return HttpWant::kNothing;
}

// False ends the reading of events.
bool Ask::on_event(std::string_view data) {
  const double now = round_.now_s();
  Result<AnswerPiece> parsed = parse_answer_piece(data);
  if (!parsed.ok())
    return fail(Outcome::kMalformed, str_cat("an event is no JSON: ", parsed.error().message));
  const AnswerPiece& piece = *parsed;
  if (!piece.error.empty()) return fail(Outcome::kStreamError, piece.error);
  if (!piece.text.empty()) {
    round_.log().add_piece(now, record_.n_pieces == 0 ? -1 : now - record_.last_s);
    if (record_.n_pieces++ == 0) record_.first_s = now;
    record_.last_s = now;
    if (round_.log().keeps_texts()) text_ += piece.text;
  }
  if (piece.usage) {
    record_.usage = *piece.usage;
    record_.has_usage = true;
  }
  is_finished_ = is_finished_ || piece.is_finished;
  if (!piece.is_done && !piece.is_finished) return true;
  record_.end_s = now;
  is_done_ = piece.is_done;
  return !is_done_;
}

// Without time for it: false.
bool Ask::wait_and_send_again() {
  const double at_s = round_.now_s() + retry_after_seconds(head_.retry_after);
  if (at_s >= begun_s_ + round_.timeout_s()) return false;
  ++record_.n_refused;
  round_.rests(1);
  round_.at(at_s, [self = shared_from_this()] {
    self->round_.rests(-1);
    self->send();
  });
  return true;
}

void Ask::on_end(HttpEnd end, const std::string& why) {
  if (end == HttpEnd::kComplete && head_.status == 429 && wait_and_send_again()) return;
  if (is_stream() && !is_done_ && !failed_ && end == HttpEnd::kComplete)
    events_.finish([this](std::string_view data) { return on_event(data); });
  if (!failed_) judge(end, why);
  if (record_.outcome != Outcome::kCompleted || record_.end_s == 0) record_.end_s = round_.now_s();
  if (!record_.has_usage) record_.usage.completion_tokens = record_.n_pieces;
  round_.ended(std::move(record_), text_);
}

void Ask::judge(HttpEnd end, const std::string& why) {
  record_.status = head_.status;
  if (is_done_ || (end == HttpEnd::kComplete && is_stream() && is_finished_)) {
    record_.outcome = Outcome::kCompleted;
    return;
  }
  switch (end) {
    case HttpEnd::kComplete:
      if (head_.status != 200) {
        fail(Outcome::kStatus, error_of_body(body_));
      } else if (!is_stream()) {
        fail(Outcome::kMalformed,
             str_cat("expected text/event-stream, got '", head_.content_type.substr(0, 100), "'"));
      } else {
        fail(Outcome::kCut, "the stream ended without [DONE]");
      }
      return;
    case HttpEnd::kCut:
      fail(Outcome::kCut, why);
      return;
    case HttpEnd::kTimeout:
      fail(Outcome::kTimeout, why);
      return;
    case HttpEnd::kUnreachable:
      fail(Outcome::kUnreachable, why);
      return;
    case HttpEnd::kMalformed:
      fail(Outcome::kMalformed, why);
      return;
    case HttpEnd::kCancelled:
      fail(Outcome::kStopped, why);
      return;
  }
}

void Round::send(const std::string& body, double timeout_s,
                 std::shared_ptr<HttpReceiver> receiver) {
  HttpCall call{.url = server_.url,
                .method = "POST",
                .target = str_cat(server_.url.base, endpoint_path(round_.endpoint)),
                .headers = request_headers(server_),
                .body = body,
                .timeout_s = timeout_s};
  call.headers.emplace_back("Content-Type", "application/json");
  client_.start(std::move(call), std::move(receiver));
}

void Round::begin(double due_s) {
  ++n_open_;
  ++in_flight_;
  peak_ = std::max(peak_, in_flight_);
  std::make_shared<Ask>(*this, round_.make(round_.first_request + n_sent_++), due_s)->send();
}

// Open loop: the next one is known when the one before is due.
void Round::next_arrival() {
  const double due_s = arrivals_.next();
  if (!may_begin(due_s)) return;
  at(due_s, [this, due_s] {
    ++n_begun_;
    waiting_.push_back(due_s);
    fill();
    next_arrival();
  });
}

// Takes the free places.
void Round::fill() {
  while (!stopped_ && n_open_ < round_.concurrency) {
    if (round_.rate > 0) {
      if (waiting_.empty()) return;
      const double due_s = waiting_.front();
      waiting_.pop_front();
      begin(due_s);
    } else {
      const double due_s = now_s();
      if (!may_begin(due_s)) return;
      ++n_begun_;
      begin(due_s);
    }
  }
}

void Round::ended(RequestRecord record, const std::string& text) {
  --n_open_;
  --in_flight_;
  stopped_ = stopped_ || record.outcome == Outcome::kStopped;
  last_end_s_ = std::max(last_end_s_, record.end_s);
  log_.add(std::move(record), text);
  fill();
}

void Round::run() {
  start_ = Clock::now();
  round_.rate > 0 ? next_arrival() : fill();
  client_.run([this] {
    const bool goes_on = !round_.go_on || round_.go_on();
    stopped_ = stopped_ || !goes_on;
    return goes_on;
  });
  log_.end_round(last_end_s_, peak_);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> request_headers(const LoadServer& server) {
  if (server.api_key.empty()) return {};
  return {{"Authorization", "Bearer " + server.api_key}};
}

void run_round(HttpClient& client, const LoadServer& server, const LoadRound& round, LoadLog& log) {
  Round(client, server, round, log).run();
}

}  // namespace fathom
