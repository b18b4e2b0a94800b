// generation_config.json: what a request leaves open (cli.md): sampling and the tokens that end an
// answer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/sampler.h"

namespace fathom {

struct GenerationConfig {
  SamplingParams
      sampling;  // temperature 1 and top_p 1 where the file says nothing; do_sample false: greedy
  std::vector<int32_t> eos_token_ids;  // empty: those of config.json count
};

// Of the file's text; fields we do not know are ignored (the file holds settings of other
// programs), values of the wrong type are errors.
Result<GenerationConfig> parse_generation_config(std::string_view json_text,
                                                 const std::string& display_name);

}  // namespace fathom
