// Goal: every way in which a server answers, or does not, is told apart and written down. Method: a
// server in this process that says what the test gives it, byte for byte.
#include "load/load_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "load/fake_server.h"

namespace fathom {
namespace {

LoadRound round_of(int64_t n, int64_t concurrency = 1) {
  LoadRound round;
  round.n_requests = n;
  round.concurrency = concurrency;
  round.timeout_s = 20;
  round.make = [](int64_t i) { return LoadRequest{i, R"({"i":)" + std::to_string(i) + "}"}; };
  return round;
}

LoadLog run(const FakeServer& fake, const LoadRound& round) {
  HttpClient client;
  LoadLog log(/*keep_texts=*/true);
  run_round(client, fake.server(), round, log);
  return log;
}
RequestRecord run_one(Script script, double timeout_s = 20) {
  FakeServer fake({std::move(script)});
  LoadRound round = round_of(1);
  round.timeout_s = timeout_s;
  const LoadLog log = run(fake, round);
  return log.records().empty() ? RequestRecord() : log.records().front();
}

TEST(LoadRun, AGoodStreamIsCountedHoweverItsBytesCome) {
  for (const bool byte_by_byte : {false, true}) {
    const RequestRecord record = run_one({good(), Then::kKeep, byte_by_byte});
    EXPECT_EQ(record.outcome, Outcome::kCompleted) << record.message;
    EXPECT_EQ(record.n_pieces, 3);
    EXPECT_EQ(record.usage.prompt_tokens, 7);
    EXPECT_EQ(record.usage.completion_tokens, 3);
    EXPECT_LE(record.due_s, record.first_s);
    EXPECT_LE(record.first_s, record.last_s);
    EXPECT_LE(record.last_s, record.end_s);
  }
}

TEST(LoadRun, StreamsWithoutUsageChunksOrDone) {
  const std::string events =
      "data: {\"choices\":[{\"text\":\"a\"}]}\r\n\r\n"
      "data: {\"choices\":[{\"text\":\"b\",\"finish_reason\":\"stop\"}]}";
  const RequestRecord record = run_one(
      {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + events, Then::kClose});
  EXPECT_EQ(record.outcome, Outcome::kCompleted) << record.message;
  EXPECT_FALSE(record.has_usage);
  EXPECT_EQ(record.usage.completion_tokens, 2);
  // A server that says it is done and then keeps the connection for itself.
  EXPECT_EQ(run_one({kStreamHead + words(1) + usage(1, 1), Then::kHang}).outcome,
            Outcome::kCompleted);
  EXPECT_EQ(run_one({"HTTP/1.1 100 Continue\r\n\r\n" + good()}).outcome, Outcome::kCompleted);
}

TEST(LoadRun, FailuresAreToldApart) {
  const auto kind = [](Script script, double timeout_s = 20) {
    return failure_kind(run_one(std::move(script), timeout_s));
  };
  EXPECT_EQ(kind({plain("401 Unauthorized", R"({"error":{"message":"no key"}})")}), "status 401");
  EXPECT_EQ(run_one({plain("401 Unauthorized", R"({"error":{"message":"no key"}})")}).message,
            "no key");
  EXPECT_EQ(kind({kStreamHead + words(2), Then::kClose}), "cut stream");
  EXPECT_EQ(kind({kStreamHead + words(2) + "0\r\n\r\n"}), "cut stream");
  EXPECT_EQ(kind({"", Then::kClose}), "cut stream");
  EXPECT_EQ(kind({kStreamHead + words(2), Then::kHang}, 0.5), "timeout");
  EXPECT_EQ(kind({"", Then::kHang}, 0.5), "timeout");
  EXPECT_EQ(kind({kStreamHead + chunk("data: {\"choi\n\n")}), "malformed");
  EXPECT_EQ(kind({kStreamHead + "zz\r\n"}), "malformed");
  EXPECT_EQ(kind({"SSH-2.0-OpenSSH_9.2\r\n\r\n"}), "malformed");
  EXPECT_EQ(kind({"HTTP/1.1 200 OK\r\nX: " + std::string(80 << 10, 'a') + "\r\n\r\n"}),
            "malformed");
  EXPECT_EQ(kind({plain("200 OK", R"({"choices":[]})")}), "malformed");
  EXPECT_EQ(kind({kStreamHead + words(1) + chunk("data: {\"error\":{\"message\":\"e\"}}\n\n")}),
            "error in the stream");
  LoadServer nowhere;
  nowhere.url.host = "127.0.0.1";
  nowhere.url.port = 1;
  HttpClient client;
  LoadLog log;
  run_round(client, nowhere, round_of(1), log);
  EXPECT_EQ(failure_kind(log.records().at(0)), "unreachable");
}

TEST(LoadRun, A429IsWaitedForAndCounted) {
  FakeServer fake({{plain("429 Too Many Requests", "{}", "Retry-After: 0\r\n")},
                   {plain("429 Too Many Requests", "{}", "Retry-After: 0.01\r\n")},
                   {good()}});
  const LoadLog log = run(fake, round_of(2));
  ASSERT_EQ(log.records().size(), 2u);
  EXPECT_EQ(log.records()[0].outcome, Outcome::kCompleted) << log.records()[0].message;
  EXPECT_EQ(log.records()[0].n_refused, 2);
  EXPECT_EQ(log.records()[1].n_refused, 0);
  // Longer than the request may take: it has failed.
  EXPECT_EQ(failure_kind(run_one({plain("429 Too Many Requests", "{}", "Retry-After: 60\r\n")})),
            "status 429");
}

TEST(LoadRun, ConnectionsAreUsedAgainAndReplacedWhenClosed) {
  FakeServer keeps({{good()}});
  EXPECT_EQ(run(keeps, round_of(20, 2)).records().size(), 20u);
  EXPECT_LE(keeps.n_connections(), 2);
  FakeServer closes({{good(), Then::kClose}});
  const LoadLog log = run(closes, round_of(10));
  for (const RequestRecord& record : log.records())
    EXPECT_EQ(record.outcome, Outcome::kCompleted) << record.message;
  EXPECT_EQ(closes.n_connections(), 10);
}

TEST(LoadRun, ARequestSaysWhatItMust) {
  FakeServer fake({{good()}});
  LoadServer server = fake.server();
  server.api_key = "secret";
  HttpClient client;
  LoadLog log;
  run_round(client, server, round_of(1), log);
  const std::string request = fake.requests().at(0);
  EXPECT_EQ(request.find("POST /v1/chat/completions HTTP/1.1\r\n"), 0u) << request;
  for (const char* part : {"\r\nHost: 127.0.0.1:", "\r\nAuthorization: Bearer secret\r\n",
                           "\r\nContent-Type: application/json\r\n", "\r\n\r\n{\"i\":0}"})
    EXPECT_NE(request.find(part), std::string::npos) << part << request;
}

TEST(LoadRun, AClosedLoopKeepsSoManyUnderWay) {
  FakeServer fake({{good()}});
  LoadRound round = round_of(50, 8);
  round.first_request = 100;
  const LoadLog log = run(fake, round);
  EXPECT_EQ(log.peak_in_flight(), 8);
  std::vector<int64_t> prompts;
  for (const RequestRecord& record : log.records()) prompts.push_back(record.prompt_id);
  std::sort(prompts.begin(), prompts.end());
  for (size_t i = 0; i < 50; ++i) EXPECT_EQ(prompts.at(i), 100 + static_cast<int64_t>(i));
}

// One place, and requests that come faster than they are answered: the waiting counts.
TEST(LoadRun, AnOpenLoopCountsFromWhenARequestWasDue) {
  FakeServer fake({{good()}});
  LoadRound round = round_of(200, 1);
  round.rate = 1e6;
  const LoadLog log = run(fake, round);
  ASSERT_EQ(log.records().size(), 200u);
  EXPECT_EQ(log.peak_in_flight(), 1);
  double last_end = 0, due_after = 0;
  for (const RequestRecord& record : log.records()) {
    EXPECT_LT(record.due_s, 0.01);  // 200 arrivals take some 0.2 ms, whatever the server does
    due_after += record.due_s >= last_end ? 1 : 0;
    last_end = record.end_s;
  }
  EXPECT_LT(due_after, 200);
}

TEST(LoadRun, StopsWhenToldTo) {
  FakeServer fake({{good()}, {good()}, {kStreamHead + words(1), Then::kHang}});
  LoadRound round = round_of(100, 1);
  round.go_on = [&] { return fake.requests().size() < 3; };
  const LoadLog log = run(fake, round);
  ASSERT_EQ(log.records().size(), 3u);
  EXPECT_EQ(log.records().back().outcome, Outcome::kStopped);
  const LoadSummary summary = summarize(log);
  EXPECT_EQ(summary.n_completed, 2);
  EXPECT_EQ(summary.n_failed, 0);
  EXPECT_EQ(summary.n_stopped, 1);
}

TEST(LoadRun, NothingIsDueAfterTheDuration) {
  FakeServer fake({{good()}});
  LoadRound round = round_of(kRequestsMax, 2);
  round.duration_s = 0.05;
  const LoadLog log = run(fake, round);
  EXPECT_GT(log.records().size(), 0u);
  for (const RequestRecord& record : log.records()) EXPECT_LT(record.due_s, 0.05);
}

}  // namespace
}  // namespace fathom
