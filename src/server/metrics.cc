#include "server/metrics.h"

#include "base/str_cat.h"

namespace fathom {

void Metrics::count(const std::string& path, int status) {
  const std::lock_guard lock(mutex_);
  ++requests_[{path, status}];
}

std::string Metrics::page(const EngineThread::Statistics& engine, int64_t n_connections) const {
  std::string out;
  const auto one = [&](std::string_view name, std::string_view type, std::string_view help,
                       const auto& value) {
    str_append(out, "# HELP fathom_", name, " ", help, "\n# TYPE fathom_", name, " ", type,
               "\nfathom_", name, " ", value, "\n");
  };
  const Engine::Counters& c = engine.counters;
  one("prompt_tokens_total", "counter", "Tokens of prompts computed", c.prompt_tokens);
  one("cached_prompt_tokens_total", "counter", "Tokens of prompts taken from the prefix cache",
      c.cached_tokens);
  one("repeated_tokens_total", "counter", "Tokens computed again after a request was put back",
      c.repeated_tokens);
  one("generated_tokens_total", "counter", "Tokens generated", c.generated_tokens);
  one("drafted_tokens_total", "counter", "Drafts of the MTP module that were verified",
      c.drafted_tokens);
  one("accepted_tokens_total", "counter", "Drafts that were accepted", c.accepted_tokens);
  one("steps_total", "counter", "Forward passes", c.steps);
  one("put_back_total", "counter", "Times that a running request made room for others", c.put_back);
  one("requests_running", "gauge", "Choices being computed", engine.n_running);
  one("requests_waiting", "gauge", "Choices waiting for a place", engine.n_queued);
  one("kv_blocks", "gauge", "Blocks of 64 positions that the cache holds", engine.n_blocks);
  one("kv_blocks_free", "gauge", "Blocks that hold nothing", engine.n_free_blocks);
  one("prefix_blocks", "gauge", "Blocks that the prefix cache knows", engine.n_prefix_blocks);
  one("prefix_blocks_evicted_total", "counter", "Blocks that the prefix cache gave back",
      engine.n_evicted);
  one("connections", "gauge", "Open connections", n_connections);
  str_append(out, "# HELP fathom_requests_total Answers by route and status\n",
             "# TYPE fathom_requests_total counter\n");
  const std::lock_guard lock(mutex_);
  for (const auto& [key, n] : requests_)
    str_append(out, "fathom_requests_total{path=\"", key.first, "\",status=\"", key.second, "\"} ",
               n, "\n");
  return out;
}

}  // namespace fathom
