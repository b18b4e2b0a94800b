// Goal: the figures are those of the definitions. Method: values whose quantiles are known, records
// made up by hand; the picture read back as XML.
#include "load/load_log.h"

#include <gtest/gtest.h>

#include <cmath>

#include "load/plot.h"

namespace fathom {
namespace {

TEST(LoadQuantiles, AreThoseOfNumPy) {
  std::vector<double> values;
  for (int i = 100; i >= 0; --i) values.push_back(i);
  const Quantiles q = quantiles_of(values);
  EXPECT_EQ(q.n, 101);
  EXPECT_DOUBLE_EQ(q.p50, 50);
  EXPECT_DOUBLE_EQ(q.p90, 90);
  EXPECT_DOUBLE_EQ(q.p99, 99);
  EXPECT_DOUBLE_EQ(q.max, 100);
  EXPECT_DOUBLE_EQ(q.mean, 50);
  EXPECT_DOUBLE_EQ(quantiles_of({3}).p99, 3);
  EXPECT_DOUBLE_EQ(quantiles_of({1, 2}).p50, 1.5);
  EXPECT_DOUBLE_EQ(quantiles_of({1, 2}).p90, 1.9);
  EXPECT_EQ(quantiles_of({}).n, 0);
}

RequestRecord answered(int64_t prompt, double due, double first, double last, int64_t tokens) {
  RequestRecord record;
  record.prompt_id = prompt;
  record.outcome = Outcome::kCompleted;
  record.status = 200;
  record.due_s = due;
  record.first_s = first;
  record.last_s = record.end_s = last;
  record.n_pieces = tokens;
  record.has_usage = true;
  record.usage = {.prompt_tokens = 100, .cached_tokens = 40, .completion_tokens = tokens};
  return record;
}

TEST(LoadSummary, CountsFromWhenARequestWasDue) {
  LoadLog log;
  log.add(answered(0, 1, 1.5, 3.5, 11), "");
  log.add(answered(1, 2, 2.25, 2.25, 1), "");
  RequestRecord failed;
  failed.outcome = Outcome::kStatus;
  failed.status = 503;
  failed.message = "busy";
  failed.n_refused = 2;
  log.add(failed, "");
  log.add(RequestRecord(), "");  // stopped
  log.end_round(4, 3);
  const LoadSummary summary = summarize(log);
  EXPECT_EQ(summary.n_completed, 2);
  EXPECT_EQ(summary.n_failed, 1);
  EXPECT_EQ(summary.n_stopped, 1);
  EXPECT_EQ(summary.n_refused, 2);
  EXPECT_EQ(summary.failures.at("status 503").n, 1);
  EXPECT_EQ(summary.failures.at("status 503").example, "busy");
  EXPECT_DOUBLE_EQ(summary.first_s.max, 0.5);
  EXPECT_DOUBLE_EQ(summary.whole_s.max, 2.5);
  EXPECT_EQ(summary.token_s.n, 1);  // one token has no time between it and another
  EXPECT_DOUBLE_EQ(summary.token_s.max, 0.2);
  EXPECT_DOUBLE_EQ(summary.output_tokens_per_s, 3);
  EXPECT_DOUBLE_EQ(summary.computed_tokens_per_s, 30);
  EXPECT_DOUBLE_EQ(summary.cached_tokens_per_s, 20);
  EXPECT_DOUBLE_EQ(summary.requests_per_s, 0.5);
  EXPECT_EQ(summary.peak_in_flight, 3);
}

TEST(LoadSummary, WithoutWordsAndWithoutUsage) {
  LoadLog log;
  RequestRecord empty = answered(0, 1, -1, -1, 0);
  empty.end_s = 2;
  empty.has_usage = false;
  log.add(empty, "");
  log.end_round(2, 1);
  const LoadSummary summary = summarize(log);
  EXPECT_EQ(summary.n_empty, 1);
  EXPECT_FALSE(summary.server_counted);
  EXPECT_EQ(summary.first_s.n, 0);
  EXPECT_DOUBLE_EQ(summary.whole_s.max, 1);
}

TEST(LoadSummary, EqualPromptsMustHaveEqualAnswers) {
  LoadLog log(/*keep_texts=*/true);
  log.add(answered(0, 0, 1, 2, 3), "the same");
  log.add(answered(1, 0, 1, 2, 3), "another");
  log.add(answered(0, 0, 1, 2, 3), "the same");
  EXPECT_EQ(log.n_compared(), 1);
  EXPECT_EQ(log.n_mismatched(), 0);
  log.add(answered(1, 0, 1, 2, 3), "anoTher");
  EXPECT_EQ(log.n_compared(), 2);
  EXPECT_EQ(log.n_mismatched(), 1);
  EXPECT_EQ(log.mismatch(), "prompt 1, byte 3: 'another', then 'anoTher'");
}

// Enough of XML to see that every element is closed, every text escaped.
bool is_well_formed(const std::string& text) {
  std::vector<std::string> open;
  size_t at = 0;
  while ((at = text.find_first_of("<>", at)) != std::string::npos) {
    if (text[at] == '>') return false;
    const size_t end = text.find_first_of("<>", at + 1);
    if (end == std::string::npos || text[end] == '<') return false;
    const std::string tag = text.substr(at + 1, end - at - 1);
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0) return false;
    const std::string name = tag.substr(0, tag.find(' '));
    if (tag.starts_with('/')) {
      if (open.empty() || "/" + open.back() != tag) return false;
      open.pop_back();
    } else if (!tag.ends_with('/')) {
      open.push_back(name);
    }
    at = end + 1;
  }
  for (size_t i = 0; (i = text.find('&', i)) != std::string::npos; ++i)
    if (text.find(';', i) > i + 5) return false;
  return open.empty();
}

TEST(LoadPlot, IsWellFormedWhateverItHolds) {
  PlotSeries odd{"a <b> & \"c\"\x01", {0, 1e-9, std::nan("")}, {INFINITY}, {0, 0}, 0.1};
  PlotSeries usual{"usual", {}, {}, {1, 5, 2}, 1};
  for (int i = 1; i < 2000; ++i) {
    usual.first_ms.push_back(i);
    usual.gap_ms.push_back(1000.0 / i);
  }
  for (const auto& series : std::vector<std::vector<PlotSeries>>{
           {}, {PlotSeries()}, {odd}, {usual}, {odd, usual, PlotSeries()}}) {
    const std::string svg = load_plot_svg("a & b", series);
    EXPECT_TRUE(is_well_formed(svg)) << svg.substr(0, 2000);
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
    EXPECT_LT(svg.size(), 60000u);
  }
  EXPECT_NE(load_plot_svg("", {odd}).find("a &lt;b&gt; &amp; &quot;c&quot; <"), std::string::npos);
}

TEST(LoadPlot, ASeriesHoldsTokensOverTime) {
  LoadLog log;
  for (int i = 0; i < 10; ++i) log.add_piece(i * 0.1 + 0.05, i == 0 ? -1 : 0.1);
  RequestRecord record = answered(0, 0, 0.05, 0.95, 20);
  record.n_pieces = 10;  // two tokens in each
  log.add(record, "");
  log.end_round(1, 1);
  const PlotSeries series = plot_series_of("x", log);
  ASSERT_EQ(series.tokens_per_s.size(), 10u);
  EXPECT_DOUBLE_EQ(series.tokens_per_s[3], 20);
  EXPECT_EQ(series.gap_ms.size(), 9u);
  EXPECT_NEAR(series.first_ms.at(0), 50, 1e-9);
}

}  // namespace
}  // namespace fathom
