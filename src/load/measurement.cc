#include "load/measurement.h"

#include <algorithm>

#include "base/mix64.h"
#include "base/str_cat.h"
#include "load/prepare.h"

namespace fathom {

namespace {

// With check: so many answers are kept to compare others with.
constexpr int64_t kCheckedPromptsMax = 1024;

Error stopped_error() { return Error{ErrorCode::kInterrupted, ""}; }

std::string base_of(const LoadServer& server) { return server.url.origin() + server.url.base; }

}  // namespace

int64_t prompt_of_request(int64_t request, int64_t n_prompts, bool check) {
  if (n_prompts == 0) return request;
  const int64_t at = request % n_prompts;
  const bool is_backwards = check && request / n_prompts % 2 == 1;
  return is_backwards ? n_prompts - 1 - at : at;
}

Measurement::Measurement(const LoadSetup& setup, std::vector<LoadServer> servers,
                         std::vector<Json> prompts, const HttpClientOptions& http, GoOn go_on)
    : setup_(setup), prompts_(std::move(prompts)), go_on_(std::move(go_on)), client_(http) {
  for (LoadServer& server : servers)
    servers_.push_back({std::move(server), TokensPerWord(), LoadLog(setup.check)});
  n_prompts_ = static_cast<int64_t>(prompts_.size());
  if (!setup.check) return;
  const int64_t half = setup.n_requests.value_or(2 * setup.concurrency) / 2;
  const int64_t most = std::clamp(half, int64_t{1}, kCheckedPromptsMax);
  n_prompts_ = n_prompts_ == 0 ? most : std::min(n_prompts_, most);
}

bool Measurement::goes_on() {
  int64_t n = 0;
  for (const MeasuredServer& one : servers_) n += static_cast<int64_t>(one.log.records().size());
  stopped_ = stopped_ || !go_on_(n);
  return !stopped_;
}

LoadRound Measurement::round_of(const MeasuredServer& one, const PromptShape& shape) {
  LoadRound round;
  round.endpoint = setup_.endpoint;
  round.concurrency = setup_.concurrency;
  round.timeout_s = setup_.timeout_s;
  round.go_on = [this] { return goes_on(); };
  round.make = [this, &one, words = SyntheticPrompts(shape, one.tokens)](int64_t request) {
    const int64_t i = prompt_of_request(request, n_prompts_, setup_.check);
    Json prompt = prompts_.empty() ? prompt_of_text(setup_.endpoint, words.text(i))
                                   : prompts_[static_cast<size_t>(i)];
    const uint64_t seed =
        mix64(mix64_key(setup_.shape.seed, "sampling") + static_cast<uint64_t>(request));
    const int64_t n_answer = words.answer_tokens(i);
    return LoadRequest{i, request_body(ask_of(one), std::move(prompt), n_answer, seed).dump()};
  };
  return round;
}

// Other prompts than those that are measured, so that none of them is cached.
Status Measurement::warm_up(MeasuredServer& one) {
  PromptShape other = setup_.shape;
  other.seed = mix64_key(other.seed, "warm-up");
  LoadRound round = round_of(one, other);
  round.n_requests = setup_.n_warmup;
  LoadLog log;
  run_round(client_, one.server, round, log);
  for (const RequestRecord& record : log.records())
    if (record.outcome != Outcome::kCompleted && record.outcome != Outcome::kStopped)
      return invalid_error(failure_sentence(one.server, record));
  return {};
}

Status Measurement::prepare_one(MeasuredServer& one) {
  const auto go_on = [this] { return goes_on(); };
  if (one.server.model.empty()) {
    FATHOM_TRY(const std::string page, get_page(client_, one.server, "/models", go_on));
    const Result<std::string> model = first_model_of(page);
    if (!model.ok())
      return invalid_error(base_of(one.server), ": ", model.error().message,
                           "; give a name with --model");
    one.server.model = *model;
  }
  if (prompts_.empty()) {
    FATHOM_TRY(one.tokens,
               measure_tokens_per_word(
                   client_, one.server,
                   {.ask = ask_of(one), .timeout_s = setup_.timeout_s, .go_on = go_on}));
  }
  return setup_.n_warmup > 0 ? warm_up(one) : Status();
}

Status Measurement::prepare() {
  for (MeasuredServer& one : servers_) {
    FATHOM_RETURN_IF_ERROR(prepare_one(one));
    if (stopped_) return stopped_error();
  }
  return {};
}

void Measurement::run_one(MeasuredServer& one, int64_t number) {
  LoadRound round = round_of(one, setup_.shape);
  round.first_request = static_cast<int64_t>(one.log.records().size());
  round.rate = setup_.rate;
  round.seed = setup_.shape.seed + static_cast<uint64_t>(number);
  round.n_requests = kRequestsMax;
  if (setup_.n_requests) {
    const int64_t n = *setup_.n_requests;
    round.n_requests = n * (number + 1) / setup_.n_rounds - n * number / setup_.n_rounds;
  }
  if (setup_.duration_s)
    round.duration_s = *setup_.duration_s / static_cast<double>(setup_.n_rounds);
  run_round(client_, one.server, round, one.log);
}

void Measurement::measure() {
  for (int64_t number = 0; number < setup_.n_rounds; ++number) {
    for (size_t i = 0; i < servers_.size() && !stopped_; ++i)
      run_one(servers_[number % 2 == 0 ? i : servers_.size() - 1 - i], number);
  }
}

Status Measurement::verdict() const {
  for (const MeasuredServer& one : servers_) {
    const std::vector<RequestRecord>& records = one.log.records();
    const auto is = [](Outcome outcome) {
      return [outcome](const RequestRecord& record) { return record.outcome == outcome; };
    };
    if (std::any_of(records.begin(), records.end(), is(Outcome::kCompleted))) continue;
    const auto failed = std::find_if_not(records.begin(), records.end(), is(Outcome::kStopped));
    if (failed != records.end())
      return invalid_error("every request failed: ", failure_sentence(one.server, *failed));
  }
  for (const MeasuredServer& one : servers_) {
    if (one.log.n_mismatched() > 0)
      return invalid_error(base_of(one.server), " gave other answers to the same prompts, ",
                           one.log.n_mismatched(), " of ", one.log.n_compared(),
                           ": they depend on what else the server does");
  }
  return {};
}

}  // namespace fathom
