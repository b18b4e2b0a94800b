// Any bytes are a document or an error; what is read, written and read again stays the same.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "io/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = fathom::parse_json({reinterpret_cast<const char*>(data), size});
  if (!json.ok()) {
    FATHOM_CHECK(!json.error().message.empty(), "an error without a message");
    return 0;
  }
  const std::string text = json->dump();
  const auto again = fathom::parse_json(text);
  FATHOM_CHECK(again.ok(), text, " is not read again: ", again.ok() ? "" : again.error().message);
  FATHOM_CHECK(again->dump() == text, text, " became ", again->dump());
  FATHOM_CHECK(fathom::parse_json(json->dump_pretty()).ok(), text);
  return 0;
}
