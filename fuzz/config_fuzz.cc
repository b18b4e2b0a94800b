// Any text is a config whose tensors can be listed, or an error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/math.h"
#include "model/weights.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config =
      fathom::parse_model_config({reinterpret_cast<const char*>(data), size}, "config.json");
  if (!config.ok()) {
    FATHOM_CHECK(!config.error().message.empty(), "an error without a message");
    return 0;
  }
  // Sizes within their limits have products within theirs.
  for (const fathom::ExpectedTensor& tensor : fathom::expected_tensors(*config)) {
    int64_t bytes = 8;
    for (int64_t extent : tensor.shape)
      FATHOM_CHECK(fathom::checked_mul(bytes, extent, &bytes), tensor.name);
  }
  return 0;
}
