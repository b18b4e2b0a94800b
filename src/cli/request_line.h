// One line of `fathom generate`'s JSON Lines (cli.md): a prompt, messages or ids, with sampling
// fields under the names of the OpenAI API. A field that no one knows is an error of its line.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/prompt.h"
#include "engine/request.h"
#include "io/json.h"

namespace fathom::cli {

struct RequestLine {
  Json id;  // as given; null if absent
  int64_t n = 1;
  GenerateRequest request;
};

// prompts is null where the model has no tokenizer: then only ids can be given. defaults: what the
// line leaves open.
Result<RequestLine> parse_request_line(const Json& json, const GenerateRequest& defaults,
                                       PromptBuilder* prompts);

}  // namespace fathom::cli
