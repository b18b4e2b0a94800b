// How a model writes calls of tools: the markers of the family (spec §4.3; Kimi-K2's own), and,
// read off its chat template, the exact text of a call. Of it a grammar is made where a request
// wants calls and nothing else.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/grammar.h"
#include "engine/prompt.h"
#include "io/json.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

struct CallMarkers {
  std::string_view section, section_end, call, separator, call_end;
};
std::span<const CallMarkers> call_markers();

// head NAME to_arguments ARGUMENTS (between NAME to_arguments ARGUMENTS)* tail; between and tail
// begin with close and the marker that ends a call.
struct CallForm {
  std::string head, to_arguments, close, between, tail;
  bool has_more = false;  // a second call is written like the first
};
// Errors: a template that does not write calls with markers that are known.
Result<CallForm> read_call_form(PromptBuilder& prompts);

struct CallableTool {
  std::string name;
  const Json* parameters;  // the schema of the arguments, outlives the call; null: any object
  bool is_free = false;    // the arguments are any text up to the marker that ends the call
};
struct CallsGrammarOptions {
  int64_t calls_max = 1;
  bool opened = false;  // what comes behind calls_opener()
};
// One to calls_max calls of these tools, one of them at least. Errors: schemas that cannot be kept
// to.
Result<Grammar> calls_grammar(const CallForm& form, std::span<const CallableTool> tools,
                              const CallsGrammarOptions& options, const Tokenizer& tokenizer);

// The token that begins calls. Errors: a model that has none for it.
Result<int32_t> calls_opener(const CallForm& form, const Tokenizer& tokenizer);

}  // namespace fathom
