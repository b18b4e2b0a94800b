// Any bytes are a run's configuration or an error; what is written reads back as the same run.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "train/run_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto run = fathom::parse_run_config(text, "run.toml", "/folder", {});
  if (!run.ok()) {
    FATHOM_CHECK(!run.error().message.empty(), "an error without a message");
    return 0;
  }
  const auto again =
      fathom::parse_run_config(fathom::write_run_config(*run), "again.toml", "/other", {});
  FATHOM_CHECK(again.ok(), again.ok() ? "" : again.error().message);
  FATHOM_CHECK(again->digest == run->digest, "another run");
  FATHOM_CHECK(again->output == run->output, run->output, " became ", again->output);
  for (int64_t step : {int64_t{1}, int64_t{1000}, int64_t{1} << 40})
    static_cast<void>(fathom::batch_sequences(run->batch, {step, step * 1000}, run->micro_batch));
  return 0;
}
