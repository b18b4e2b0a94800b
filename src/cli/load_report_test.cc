// Goal: the report shows what was measured. Method: figures made up by hand, read back from text
// and JSON.
#include "cli/load_report.h"

#include <gtest/gtest.h>

namespace fathom::cli {
namespace {

LoadedServer made_up(const std::string& url, double factor) {
  LoadedServer out{url, "m", {}, false, 0, 0, ""};
  LoadSummary& s = out.summary;
  s.n_completed = 60;
  s.n_failed = 4;
  s.failures["status 503"] = {4, "busy"};
  s.elapsed_s = 12.5;
  s.output_tokens_per_s = 320 * factor;
  s.computed_tokens_per_s = 1000;
  s.peak_in_flight = 16;
  s.first_s = {60, 0.05 * factor, 0.04 * factor, 0.08, 0.09, 0.1};
  return out;
}

LoadSetup setup() {
  LoadSetup out;
  out.n_requests = 64;
  out.concurrency = 16;
  out.shape.prompt = {64, 256};
  return out;
}

TEST(LoadReport, TheTableOfOneServer) {
  const std::string text = load_text(setup(), {made_up("http://a/v1", 1)});
  for (const char* part :
       {"load      64 requests, 16 at once; chat, temperature 0, seed 1\n",
        "prompts of 64 to 256 tokens, answers of at most 64 tokens\n", "server    http://a/v1, m\n",
        " 60 ", " 12.5 ", " 320\n", "time to first token, ms", " 40.0 ", " 100 ", " 50.0\n",
        "4 failed, status 503: busy\n"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  EXPECT_EQ(text.find("server 1"), std::string::npos);
  EXPECT_EQ(text.find("check"), std::string::npos);
  size_t begin = 0;
  for (size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    EXPECT_LE(end - begin, 110u) << text.substr(begin, end - begin);
}

TEST(LoadReport, SeveralServersHaveRatios) {
  LoadedServer checked = made_up("http://b/v1", 1.5);
  checked.is_checked = true;
  checked.n_compared = 30;
  checked.n_mismatched = 2;
  checked.mismatch = "prompt 3, byte 1: 'ab', then 'ac'";
  const std::string text = load_text(setup(), {made_up("http://a/v1", 1), checked});
  for (const char* part : {"server 1  http://a/v1, m\n", "server 2  http://b/v1, m\n", " 1.50x\n",
                           "2 to 1", "server 2: check: 30 answers", "2 differ; prompt 3, byte 1"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  const Json json = load_json(setup(), {made_up("http://a/v1", 1), checked});
  const Json::Array& servers = json.find("servers")->as_array();
  EXPECT_EQ(servers.at(0).find("ratio_to_first"), nullptr);
  EXPECT_EQ(servers[1].find("ratio_to_first")->find("output_tokens_per_s")->as_double(), 1.5);
  EXPECT_TRUE(servers[1].find("ratio_to_first")->find("requests_per_s")->is_null());
  EXPECT_EQ(servers[1].find("check")->find("mismatched")->as_int(), 2);
  EXPECT_EQ(servers[1].find("failures")->find("status 503")->find("count")->as_int(), 4);
  EXPECT_DOUBLE_EQ(servers[1].find("time_to_first_token_ms")->find("p50")->as_double(), 60);
  EXPECT_TRUE(servers[1].find("time_between_tokens_ms")->find("p50")->is_null());
  EXPECT_EQ(json.find("load")->find("prompt_tokens")->dump(), "[64,256]");
}

}  // namespace
}  // namespace fathom::cli
