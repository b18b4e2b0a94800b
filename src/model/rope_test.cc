// Goal: YaRN's frequencies and factors are those of the published models (check values of spec
// §2.4).
#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace fathom {
namespace {

ModelConfig published() {
  ModelConfig config;
  config.qk_nope_head_dim = 128;
  config.qk_rope_head_dim = 64;
  config.rope_theta = 10000;
  config.rope_scaling = RopeScaling{.factor = 40,
                                    .original_max_position_embeddings = 4096,
                                    .beta_fast = 32,
                                    .beta_slow = 1,
                                    .mscale = 1,
                                    .mscale_all_dim = 1};
  return config;
}

TEST(Rope, YarnFrequencies) {
  const auto f = rope_inv_freq(published());
  const std::pair<int, double> expected[] = {{0, 1},
                                             {1, 0.749894209},
                                             {10, 0.0562341325},
                                             {11, 0.0390069266},
                                             {12, 0.0268793601},
                                             {16, 0.0055},
                                             {22, 1.77827941e-4},
                                             {23, 3.33380358e-5},
                                             {31, 3.33380358e-6}};
  for (const auto& [j, value] : expected)
    EXPECT_NEAR(f[static_cast<size_t>(j)], value, value * 2e-9) << j;
}

TEST(Rope, SoftmaxScaleHasMscaleTwice) {
  EXPECT_NEAR(softmax_scale(published()), 0.1352337789, 1e-8);
  ModelConfig lite = published();
  lite.rope_scaling->mscale = lite.rope_scaling->mscale_all_dim = 0.707;
  EXPECT_NEAR(softmax_scale(lite), 0.11472139, 1e-8);
  ModelConfig plain = published();
  plain.rope_scaling.reset();
  EXPECT_NEAR(softmax_scale(plain), 0.0721687836, 1e-8);
}

TEST(Rope, TableHoldsCosAndSinOfTheAngle) {
  const ModelConfig config = published();
  RopeTable table(config, 5000);
  table.reach(80);
  table.reach(5000);
  const auto f = rope_inv_freq(config);
  for (int64_t position : {0, 1, 77, 4999}) {
    for (size_t j = 0; j < f.size(); ++j) {
      const float angle = static_cast<float>(position) * static_cast<float>(f[j]);
      EXPECT_EQ(table.cos(position)[j], static_cast<float>(std::cos(double{angle})))
          << position << ' ' << j;
      EXPECT_EQ(table.sin(position)[j], static_cast<float>(std::sin(double{angle})))
          << position << ' ' << j;
    }
  }
}

}  // namespace
}  // namespace fathom
