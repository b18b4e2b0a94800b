// Goal: servers are made ready, take turns and are judged. Method: servers in this process that say
// what the test gives them.
#include "load/measurement.h"

#include <gtest/gtest.h>

#include "load/fake_server.h"
#include "load/prepare.h"

namespace fathom {
namespace {

TEST(LoadPrepare, WordsAreMeasuredByTheServersOwnCount) {
  // One word and all: 1.5 tokens for each, 6 for the template (7.5 are counted as 7).
  const auto all = static_cast<int>(6 + 1.5 * static_cast<double>(n_every_word()));
  FakeServer fake({{good(7, 1)}, {good(all, 1)}});
  HttpClient client;
  const auto tokens = measure_tokens_per_word(client, fake.server(), {});
  ASSERT_TRUE(tokens.ok()) << tokens.error().message;
  EXPECT_NEAR(tokens->per_word, 1.5, 0.01);
  EXPECT_NEAR(tokens->overhead, 5.5, 0.1);
  const std::string last = fake.requests().back();
  EXPECT_NE(last.find(every_word()), std::string::npos) << last;
}

TEST(LoadPrepare, SaysWhatIsWrongAndWhatToDo) {
  HttpClient client;
  FakeServer refuses({{plain("401 Unauthorized", R"({"error":{"message":"no key"}})")}});
  const auto page = get_page(client, refuses.server(), "/models", {});
  ASSERT_FALSE(page.ok());
  EXPECT_EQ(page.error().message, refuses.server().url.origin() +
                                      " answers with status 401: no key; give its key with "
                                      "--api-key or FATHOM_API_KEY");
  LoadServer nowhere;
  nowhere.url.host = "127.0.0.1";
  nowhere.url.port = 1;
  const auto none = get_page(client, nowhere, "/models", {});
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.error().message.find("cannot connect to 127.0.0.1:1"), std::string::npos);
}

TEST(LoadMeasurement, SeveralServersTakeTurns) {
  FakeServer a({{good()}}), b({{good()}});
  LoadSetup setup;
  setup.n_requests = 10;
  setup.concurrency = 2;
  setup.n_rounds = 3;
  setup.n_warmup = 1;
  setup.check = true;
  Measurement measurement(setup, {a.server(), b.server()}, {}, {}, [](int64_t) { return true; });
  ASSERT_TRUE(measurement.prepare().ok());
  measurement.measure();
  EXPECT_TRUE(measurement.verdict().ok());
  for (const MeasuredServer& one : measurement.servers()) {
    EXPECT_EQ(one.log.records().size(), 10u);
    EXPECT_EQ(one.log.n_compared(), 5);  // five prompts, each twice
    EXPECT_EQ(one.log.n_mismatched(), 0);
  }
  EXPECT_EQ(a.requests().size(), 13u);  // two to measure words, one to warm up
}

TEST(LoadMeasurement, FindsAnswersThatDiffer) {
  FakeServer fake({{good(7, 3)}, {good(7, 3)}, {good(7, 4)}, {good(7, 3)}});
  LoadSetup setup;
  setup.n_requests = 4;
  setup.check = true;
  Json prompt = prompt_of_text(LoadEndpoint::kChat, "Hi");
  Measurement measurement(setup, {fake.server()}, {prompt, prompt}, {},
                          [](int64_t) { return true; });
  ASSERT_TRUE(measurement.prepare().ok());
  measurement.measure();
  EXPECT_EQ(measurement.servers()[0].log.n_mismatched(), 1);
  const Status verdict = measurement.verdict();
  ASSERT_FALSE(verdict.ok());
  EXPECT_NE(verdict.error().message.find("1 of 2"), std::string::npos) << verdict.error().message;
}

}  // namespace
}  // namespace fathom
