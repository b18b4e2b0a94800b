#include "load/prepare.h"

#include <algorithm>

#include "base/str_cat.h"

namespace fathom {

namespace {

constexpr size_t kPageBytesMax = 4 << 20;

class Page final : public HttpReceiver {
 public:
  void on_head(const HttpAnswerHead& head) override { status = head.status; }
  HttpWant on_body(std::string_view bytes) override {
    body += bytes;
    return body.size() > kPageBytesMax ? HttpWant::kNothing : HttpWant::kMore;
  }
  void on_end(HttpEnd e, const std::string& w) override {
    end = e;
    why = w;
  }
  int status = 0;
  std::string body, why;
  HttpEnd end = HttpEnd::kCancelled;
};

std::string advice(const RequestRecord& record) {
  const int status = record.status;
  switch (record.outcome) {
    case Outcome::kUnreachable:
      return record.message.starts_with("TLS")
                 ? "; is it https there, with a certificate for this name? --insecure does not "
                   "verify it, SSL_CERT_FILE names other authorities"
                 : "; is the server running there?";
    case Outcome::kTimeout:
      return "; give more --timeout, or see what the server does";
    case Outcome::kMalformed:
      return "; is this a server of the OpenAI API?";
    case Outcome::kCut:
      return "; the server's log may say why, and an address of https must begin with it";
    case Outcome::kStatus:
      if (status == 401 || status == 403) return "; give its key with --api-key or FATHOM_API_KEY";
      if (status == 404 || status == 405)
        return "; check --model and the address: a path in it is taken as given, as in .../v1";
      if (status == 429) return "; give it less --concurrency or --rate";
      return "";
    case Outcome::kStreamError:
    case Outcome::kCompleted:
    case Outcome::kStopped:
      return "";
  }
  return "";
}

}  // namespace

std::string failure_sentence(const LoadServer& server, const RequestRecord& record) {
  const std::string what = record.outcome == Outcome::kStatus
                               ? str_cat("answers with status ", record.status, ": ")
                               : str_cat(failure_kind(record), ": ");
  return str_cat(server.url.origin(), " ", what, record.message, advice(record));
}

Result<std::string> get_page(HttpClient& client, const LoadServer& server, std::string_view path,
                             const std::function<bool()>& go_on) {
  const auto page = std::make_shared<Page>();
  client.start({.url = server.url,
                .method = "GET",
                .target = str_cat(server.url.base, path),
                .headers = request_headers(server),
                .body = "",
                .timeout_s = 30},
               page);
  client.run(go_on);
  if (page->end == HttpEnd::kCancelled && page->body.size() <= kPageBytesMax)
    return Error{ErrorCode::kInterrupted, ""};
  RequestRecord record;
  record.message = page->why;
  record.status = page->status;
  switch (page->end) {
    case HttpEnd::kComplete:
      if (page->status == 200) return std::move(page->body);
      record.outcome = Outcome::kStatus;
      record.message = error_of_body(page->body);
      break;
    case HttpEnd::kCut:
      record.outcome = Outcome::kCut;
      break;
    case HttpEnd::kTimeout:
      record.outcome = Outcome::kTimeout;
      break;
    case HttpEnd::kUnreachable:
      record.outcome = Outcome::kUnreachable;
      break;
    case HttpEnd::kMalformed:
    case HttpEnd::kCancelled:
      record.outcome = Outcome::kMalformed;
      break;
  }
  return invalid_error(failure_sentence(server, record));
}

Result<TokensPerWord> measure_tokens_per_word(HttpClient& client, const LoadServer& server,
                                              const ProbeOptions& options) {
  LoadLog log;
  LoadRound round;
  round.endpoint = options.ask.endpoint;
  round.n_requests = 2;
  round.timeout_s = options.timeout_s;
  round.go_on = options.go_on;
  round.make = [&](int64_t i) {
    const std::string text = i == 0 ? words_of(0, 1) : every_word();
    return LoadRequest{i, request_body(options.ask, prompt_of_text(options.ask.endpoint, text),
                                       /*max_tokens=*/1, /*seed=*/0)
                              .dump()};
  };
  run_round(client, server, round, log);
  for (const RequestRecord& record : log.records()) {
    if (record.outcome == Outcome::kStopped) return Error{ErrorCode::kInterrupted, ""};
    if (record.outcome != Outcome::kCompleted)
      return invalid_error(failure_sentence(server, record));
  }
  TokensPerWord out;
  if (log.records().size() != 2) return Error{ErrorCode::kInterrupted, ""};
  const auto tokens = [&](size_t i) {
    return static_cast<double>(log.records()[i].usage.prompt_tokens);
  };
  const double difference = tokens(1) - tokens(0);
  if (difference > 0) {
    out.per_word = difference / static_cast<double>(n_every_word() - 1);
    out.overhead = std::max(0.0, tokens(0) - out.per_word);
  }
  return out;
}

}  // namespace fathom
