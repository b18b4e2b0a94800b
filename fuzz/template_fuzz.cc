// Inputs to start from: testdata/chat.
// Any bytes are a template or an error, and any template renders within small limits or says why
// not.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "tokenizer/chat_template.h"

namespace {

const fathom::Json& context() {
  static const fathom::Json value =
      fathom::parse_json(
          R"({"messages": [{"role": "system", "content": "S é"}, {"role": "user", "content": "<b> x"},
          {"role": "assistant", "content": null, "tool_calls": [{"type": "function", "function":
           {"name": "f", "arguments": {"a": [1, 2.5, true, null]}}}]}, {"role": "tool", "content": "r"}],
          "tools": [{"function": {"name": "f", "parameters": {}}}], "add_generation_prompt": true, "x": 1})")
          .value();
  return value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fathom::JinjaLimits limits;
  limits.steps = 20'000;
  limits.memory_bytes = 8 << 20;
  limits.string_bytes = limits.output_bytes = 1 << 20;
  limits.list_items = 20'000;
  limits.range_items = 2'000;
  const auto parsed =
      fathom::ChatTemplate::parse({reinterpret_cast<const char*>(data), size}, limits);
  if (!parsed.ok()) {
    FATHOM_CHECK(!parsed.error().message.empty(), "an error without a message");
    return 0;
  }
  const auto rendered = parsed->render(context(), "<bos>", "<eos>");
  FATHOM_CHECK(rendered.ok() || !rendered.error().message.empty(), "an error without a message");
  return 0;
}
