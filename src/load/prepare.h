// What has to be known of a server before it is measured: the model's name, and how many tokens the
// words of prompts make there.
#pragma once

#include <string>

#include "load/load_run.h"
#include "load/prompts.h"

namespace fathom {

// Whole answers, one after the other; run() of the client goes on inside. An error in one sentence:
// the server cannot be reached, or answers with another status than 200.
Result<std::string> get_page(HttpClient& client, const LoadServer& server, std::string_view path,
                             const std::function<bool()>& go_on);

// The sentence for a request that failed, with what to do.
std::string failure_sentence(const LoadServer& server, const RequestRecord& record);

struct ProbeOptions {
  AskOptions ask;
  double timeout_s = 60;
  std::function<bool()> go_on;
};
// By a prompt of one word and one of every word there is, with answers of one token; a server that
// counts no tokens gets the defaults of TokensPerWord.
Result<TokensPerWord> measure_tokens_per_word(HttpClient& client, const LoadServer& server,
                                              const ProbeOptions& options);

}  // namespace fathom
