// How the official demo calls the tensors and the config of the family, and where it splits them
// (spec §1.2; its conversion script).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/json.h"

namespace fathom {

enum class DemoSplit : uint8_t {
  kWhole,    // every rank has all of it
  kRows,     // rank i has rows [i * rows / n, (i + 1) * rows / n)
  kColumns,  // the same of columns
  kExpert,   // one rank has all of it
};

struct DemoTensor {
  std::string name;
  DemoSplit split = DemoSplit::kWhole;
  int64_t expert = -1;  // with kExpert
};

// "model.layers.3.self_attn.q_b_proj.weight_scale_inv" -> {"layers.3.attn.wq_b.scale", kRows}.
// Nothing for names that the demo does not have.
std::optional<DemoTensor> demo_tensor(std::string_view name);

// The demo's config has "dim" where a published one has "hidden_size".
bool is_demo_config(const Json& config);

// A published config that means the same; what the demo leaves to its defaults gets them.
// has_router_bias: the demo's config does not say.
Result<Json> published_config(const Json& demo, bool has_router_bias,
                              const std::string& display_name);

}  // namespace fathom
