// Goal: the parameter arithmetic gives the published figures, and its items add up to them.
// Method: configs of published models (testdata/configs), figures of spec §1.2-1.4 and, for parts,
// formulas written out here.
#include "model/parameters.h"

#include <gtest/gtest.h>

#include <map>

#include "io/files.h"

namespace fathom {
namespace {

ModelConfig config_of(const std::string& name) {
  const std::string path = str_cat(FATHOM_TESTDATA, "/configs/", name, ".json");
  const Result<std::string> text = read_file(path);
  EXPECT_TRUE(text.ok()) << text.error().message;
  const Result<ModelConfig> config = parse_model_config(*text, path);
  EXPECT_TRUE(config.ok()) << config.error().message;
  return *config;
}

const ParameterItem& item(const ParameterCount& count, std::string_view name, bool mtp = false) {
  for (const ParameterItem& item : count.items) {
    if (item.name == name && item.mtp == mtp) return item;
  }
  ADD_FAILURE() << "no item " << name;
  static const ParameterItem none;
  return none;
}

TEST(Parameters, OfThePublishedV3) {
  const ParameterCount count = count_parameters(config_of("v3"));
  EXPECT_EQ(count.total, 671'026'419'200);
  EXPECT_EQ(count.activated, 37'552'297'472);
  EXPECT_EQ(count.activated_without_embedding, 36'625'618'432);
  EXPECT_EQ(count.mtp_stored, 13'463'426'304);
  EXPECT_EQ(count.mtp_unique, 11'610'068'224);
  EXPECT_EQ(count.total + count.mtp_stored, 684'489'845'504);  // "685B" on the hub
  EXPECT_EQ(item(count, "q path").one, 48'760'320);
  EXPECT_EQ(item(count, "q path").terms, "1536*7168 + 1536 + 24576*1536");
  EXPECT_EQ(item(count, "kv path").one, 20'906'496);
  EXPECT_EQ(item(count, "attention output").one, 117'440'512);
  EXPECT_EQ(item(count, "routed experts").one, 44'040'192);
  EXPECT_EQ(item(count, "routed experts").count, 58 * 256);
  EXPECT_EQ(item(count, "routed experts").activated, int64_t{58} * 8 * 44'040'192);
  EXPECT_EQ(item(count, "shared experts").count, 58);
  EXPECT_EQ(item(count, "router").one, 256 * 7168 + 256);
  EXPECT_EQ(item(count, "dense MLP").count, 3);
  EXPECT_EQ(item(count, "norms").one, 2 * 7168);
  EXPECT_EQ(item(count, "embedding").total, 926'679'040);
  EXPECT_EQ(item(count, "head").total, 926'679'040);
  EXPECT_EQ(item(count, "eh_proj", true).total, int64_t{2} * 7168 * 7168);
  int64_t mtp_activated = 0;
  for (const ParameterItem& i : count.items) mtp_activated += i.mtp ? i.activated : 0;
  EXPECT_EQ(mtp_activated, 2'541'458'688);
}

TEST(Parameters, ItemsAddUpForEveryPublishedConfig) {
  for (const char* name : {"v3", "v3.1", "v2", "v2-lite", "moonlight", "kimi-k2"}) {
    SCOPED_TRACE(name);
    const ParameterCount count = count_parameters(config_of(name));
    int64_t total = 0;
    int64_t activated = 0;
    int64_t mtp = 0;
    for (const ParameterItem& item : count.items) {
      EXPECT_EQ(item.one * item.count, item.total) << item.name;
      EXPECT_LE(item.activated, item.total) << item.name;
      EXPECT_FALSE(item.terms.empty());
      (item.mtp ? mtp : total) += item.total;
      if (!item.mtp) activated += item.activated;
    }
    EXPECT_EQ(total, count.total);
    EXPECT_EQ(activated, count.activated);
    EXPECT_EQ(mtp, count.mtp_stored);
  }
}

TEST(Parameters, OfTheOthersInTheFamily) {
  // Spec §1.2: total, and activated with the head but without the embedding table.
  const auto millions = [](int64_t n) { return (n + 500'000) / 1'000'000; };
  const auto ten_millions = [](int64_t n) { return (n + 5'000'000) / 10'000'000; };
  const ParameterCount v2 = count_parameters(config_of("v2"));
  EXPECT_EQ(ten_millions(v2.total), 23'574);
  EXPECT_EQ(ten_millions(v2.activated_without_embedding), 2'085);
  const ParameterCount lite = count_parameters(config_of("v2-lite"));
  EXPECT_EQ(millions(lite.total), 15'706);
  EXPECT_EQ(ten_millions(lite.activated_without_embedding), 245);
  EXPECT_EQ(item(lite, "q path").terms, "3072*2048");
  const ParameterCount moonlight = count_parameters(config_of("moonlight"));
  EXPECT_EQ(millions(moonlight.total), 15'960);  // "16B"
  const ParameterCount kimi = count_parameters(config_of("kimi-k2"));
  EXPECT_EQ(millions(kimi.total), 1'026'408);  // "1T"
  EXPECT_EQ(kimi.mtp_stored, 0);
}

TEST(Parameters, ATiedEmbeddingCountsOnceAndIsActivated) {
  ModelConfig config = config_of("v3");
  const ParameterCount apart = count_parameters(config);
  config.tie_word_embeddings = true;
  const ParameterCount tied = count_parameters(config);
  EXPECT_EQ(apart.total - tied.total, int64_t{129280} * 7168);
  EXPECT_EQ(tied.activated, tied.activated_without_embedding);
}

TEST(Parameters, BytesInEachPrecision) {
  const ModelConfig config = config_of("v3");
  const ParameterCount count = count_parameters(config);
  const int64_t parameters = count.total + count.mtp_stored;
  const int64_t biases = 59 * 256;  // F32 in all of them
  EXPECT_EQ(count_bytes(stored_tensors(config, WeightPrecision::kBf16)).total,
            2 * parameters + 2 * biases);
  EXPECT_EQ(count_bytes(stored_tensors(config, WeightPrecision::kF32)).total, 4 * parameters);
  const std::vector<TensorSpec> stored = stored_tensors(config, WeightPrecision::kAsConfigured);
  EXPECT_EQ(stored.size(), 91'991u);
  const ByteCount bytes = count_bytes(stored);
  EXPECT_EQ(bytes.total / 10'000'000, 68'857);  // 688.57 GB
  ASSERT_EQ(bytes.by_dtype.size(), 3u);
  EXPECT_EQ(bytes.by_dtype[0].first, Dtype::kF8E4M3);
  EXPECT_EQ(bytes.by_dtype[1].first, Dtype::kBF16);
  EXPECT_EQ(bytes.by_dtype[2].first, Dtype::kF32);
  int64_t scales = 0;
  for (const TensorSpec& spec : stored) scales += spec.name.ends_with("_scale_inv") ? 1 : 0;
  EXPECT_EQ(scales, 45'808);
}

TEST(Parameters, CacheBytesPerToken) {
  const ModelConfig config = config_of("v3");
  EXPECT_EQ(kv_bytes_per_token(config, KvDtype::kBf16), 70'272);
  EXPECT_EQ(kv_bytes_per_token(config, KvDtype::kF32), 140'544);
  EXPECT_EQ(kv_bytes_per_token(config, KvDtype::kFp8), 656 * 61);
}

}  // namespace
}  // namespace fathom
