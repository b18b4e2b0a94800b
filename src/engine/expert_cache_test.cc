// Goal: the cache hands out the right bytes of every expert that is asked for, in groups that fit;
// keeps those that are used most; and says what cannot be read.
#include "engine/expert_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <set>

#include "engine/streamed_weights.h"
#include "tests/support/tiny_model.h"

namespace fathom {
namespace {

using testing_support::TempFolder;

constexpr std::string_view kConfig =
    R"({"model_type":"deepseek_v3","vocab_size":32,"hidden_size":64,
  "intermediate_size":40,"moe_intermediate_size":96,"num_hidden_layers":3,"num_nextn_predict_layers":1,
  "first_k_dense_replace":1,"num_attention_heads":2,"q_lora_rank":12,"kv_lora_rank":16,"qk_nope_head_dim":8,
  "qk_rope_head_dim":4,"v_head_dim":8,"n_routed_experts":16,"n_shared_experts":1,"num_experts_per_tok":2,"n_group":2,
  "topk_group":1,"norm_topk_prob":true,"routed_scaling_factor":2.5,"rms_norm_eps":1e-6,"rope_theta":10000,
  "max_position_embeddings":64,"bos_token_id":0,"eos_token_id":1})";
constexpr int64_t kMoeLayers = 3;  // with the MTP module

class ExpertCacheTest : public ::testing::Test {
 protected:
  ExpertCacheTest() : config_(*parse_model_config(kConfig, "tiny")) {
    write_tiny_model(folder_, kConfig, testing_support::tiny_tensors(config_, Dtype::kBF16, 3));
    auto files = ModelFiles::open_folder(folder_.path());
    auto checkpoint = Checkpoint::open(*files);
    weights_ =
        std::move(load_weights(config_, std::make_shared<const Checkpoint>(std::move(*checkpoint))))
            .value();
  }

  std::unique_ptr<ExpertCache> open(int64_t n_slots) {
    const WeightPlaces places(*weights_.checkpoint);
    auto reader = std::move(BlockReader::create(2)).value();
    for (const MappedFile* file : places.files()) {
      EXPECT_TRUE(reader->add_file(file->path(), static_cast<int64_t>(file->bytes().size())).ok());
    }
    return std::move(
               ExpertCache::create(ExpertLayout::of(weights_, places), n_slots, std::move(reader)))
        .value();
  }

  // The ids that came, each checked against the file's bytes.
  std::set<int32_t> run(ExpertCache& cache, int64_t layer, std::vector<int32_t> ids) {
    const MoeWeights& moe = *moe_layers(weights_)[static_cast<size_t>(layer)];
    std::set<int32_t> seen;
    cache.request(layer, ids);
    for (auto group = cache.next_group(); !group.empty(); group = cache.next_group()) {
      EXPECT_LE(static_cast<int64_t>(group.size()), cache.n_slots());
      largest_group_ = std::max(largest_group_, group.size());
      for (const ReadyExpert& ready : group) {
        EXPECT_TRUE(seen.insert(ready.id).second) << "expert " << ready.id << " came twice";
        const auto given = matrices_of(*ready.weights);
        const auto own = matrices_of(moe.experts[static_cast<size_t>(ready.id)]);
        for (size_t i = 0; i < own.size(); ++i) {
          EXPECT_NE(given[i]->data, own[i]->data);
          const int64_t bytes = matrix_bytes(own[i]->dtype, own[i]->n, own[i]->k);
          EXPECT_EQ(std::memcmp(given[i]->data, own[i]->data, static_cast<size_t>(bytes)), 0);
          EXPECT_EQ(reinterpret_cast<uintptr_t>(given[i]->data) % kReadAlignment,
                    reinterpret_cast<uintptr_t>(own[i]->data) % kReadAlignment);
        }
      }
    }
    return seen;
  }
  int64_t found(ExpertCache& cache, int64_t layer, std::vector<int32_t> ids) {
    const int64_t before = cache.stats().n_found;
    run(cache, layer, std::move(ids));
    return cache.stats().n_found - before;
  }

  TempFolder folder_;
  ModelConfig config_;
  ModelWeights weights_;
  size_t largest_group_ = 0;
};

std::vector<int32_t> first(int32_t n) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < n; ++i) ids.push_back(i);
  return ids;
}

TEST_F(ExpertCacheTest, GivesEveryExpertAskedForWhateverTheSlots) {
  for (const int64_t n_slots : {int64_t{1}, int64_t{2}, int64_t{7}, int64_t{48}}) {
    const auto cache = open(n_slots);
    for (int pass = 0; pass < 3; ++pass) {
      cache->begin_pass();
      for (int64_t layer = 1; layer <= kMoeLayers; ++layer) {
        EXPECT_EQ(run(*cache, layer, first(16)).size(), 16u) << n_slots << " slots";
        EXPECT_EQ(run(*cache, layer, {3, 9}).size(), 2u);
      }
    }
    EXPECT_TRUE(cache->status().ok());
    if (n_slots == 48) {
      EXPECT_EQ(cache->stats().n_used - cache->stats().n_found, 48);
      EXPECT_GT(largest_group_, 1u);
    }
  }
}

TEST_F(ExpertCacheTest, AScanKeepsWhatFits) {
  // All experts of all layers over and over: as many are found as there are slots, almost. (Least
  // recently used would find none.)
  const auto cache = open(24);
  for (int pass = 0; pass < 5; ++pass) {
    cache->begin_pass();
    int64_t n = 0;
    for (int64_t layer = 1; layer <= kMoeLayers; ++layer) n += found(*cache, layer, first(16));
    if (pass > 0) {
      EXPECT_GE(n, 20) << "pass " << pass;
    }
  }
}

TEST_F(ExpertCacheTest, WhatIsUsedOftenStays) {
  const auto cache = open(6);
  for (int32_t pass = 0; pass < 30; ++pass) {
    cache->begin_pass();
    // Two that are used each time, and two that change.
    const int32_t other = 2 + pass * 5 % 14;
    std::vector<int32_t> ids = {0, 1, other, 2 + (pass * 5 + 7) % 14};
    std::sort(ids.begin(), ids.end());
    const int64_t n = found(*cache, 1, ids);
    if (pass > 0) {
      EXPECT_GE(n, 2) << "pass " << pass;
    }
  }
}

TEST_F(ExpertCacheTest, WhatIsUsedNoLongerGoes) {
  const auto cache = open(4);
  cache->begin_pass();
  for (int i = 0; i < 200; ++i) run(*cache, 1, {0, 1, 2, 3});
  int64_t n = 0;
  for (int i = 0; i < 600; ++i) n += found(*cache, 1, {8, 9, 10, 11}) == 4;
  EXPECT_GT(n, 200);
}

TEST_F(ExpertCacheTest, APassThatIsGivenUpLeavesNothingBehind) {
  const auto cache = open(3);
  for (int i = 0; i < 20; ++i) {
    cache->begin_pass();
    cache->request(1, first(16));
    EXPECT_FALSE(cache->next_group().empty());
    cache->begin_pass();  // the rest was never taken
    EXPECT_EQ(run(*cache, 2, first(16)).size(), 16u);
  }
}

TEST_F(ExpertCacheTest, AnUnreadableFileIsASentenceAndCanComeBack) {
  const auto cache = open(2);
  const std::string file = folder_ / "model.safetensors";
  const std::string bytes = testing_support::get_file(file);
  cache->begin_pass();
  EXPECT_EQ(run(*cache, 1, {0, 1}).size(), 2u);
  std::filesystem::resize_file(file, 4096);
  for (int i = 0; i < 3; ++i) {
    cache->begin_pass();
    EXPECT_TRUE(cache->status().ok());
    cache->request(2, first(16));
    EXPECT_TRUE(cache->next_group().empty());
    ASSERT_FALSE(cache->status().ok());
    EXPECT_NE(cache->status().error().message.find("model.safetensors"), std::string::npos);
  }
  testing_support::put_file(file, bytes);
  cache->begin_pass();
  EXPECT_EQ(run(*cache, 2, first(16)).size(), 16u);
}

TEST_F(ExpertCacheTest, RowsOfTheEmbeddingAreReadFromTheirFile) {
  const auto cache = open(2);
  const WeightPlaces places(*weights_.checkpoint);
  const LinearWeight& embedding = weights_.embed_tokens;
  ASSERT_TRUE(cache->set_embedding(embedding, places).ok());
  const int64_t bytes = matrix_bytes(embedding.dtype, 1, embedding.k);
  cache->begin_pass();
  for (const int32_t token : {0, 17, 31}) {
    const std::byte* const own = static_cast<const std::byte*>(embedding.data) + token * bytes;
    const LinearWeight row = cache->embedding_row(token);
    EXPECT_EQ(row.n, 1);
    EXPECT_NE(row.data, own) << "touches the mapping";
    EXPECT_EQ(std::memcmp(row.data, own, static_cast<size_t>(bytes)), 0) << token;
  }
  EXPECT_TRUE(cache->status().ok());
  std::filesystem::resize_file(folder_.path() + "/model.safetensors", 64);
  (void)cache->embedding_row(31);
  ASSERT_FALSE(cache->status().ok());
  EXPECT_NE(cache->status().error().message.find("became shorter"), std::string::npos);
}

TEST_F(ExpertCacheTest, TheLeastThatWouldDoIsSaid) {
  const auto refuse = StreamedWeights::create(config_, weights_, {.limit = 1 << 20, .later = 0});
  ASSERT_FALSE(refuse.ok());
  const std::string& message = refuse.error().message;
  EXPECT_NE(message.find("at least"), std::string::npos) << message;
  const auto fits = StreamedWeights::create(config_, weights_, {.limit = int64_t{4} << 30});
  ASSERT_TRUE(fits.ok());
  EXPECT_EQ((*fits)->experts().n_slots(), kMoeLayers * 16);
  EXPECT_NE((*fits)->plan().find("48 of 48 experts fit"), std::string::npos) << (*fits)->plan();
}

}  // namespace
}  // namespace fathom
