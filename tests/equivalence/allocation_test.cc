// Goal: nothing is allocated in a decode step. Method: this program's operator new counts while a
// step runs.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "engine/loaded_model.h"
#include "engine/sampler.h"
#include "tests/support/models.h"

namespace {
std::atomic<bool> counting{false};
std::atomic<int64_t> allocations{0};

void* counted(size_t size) {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1);
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

void* operator new(size_t size) { return counted(size); }
void* operator new[](size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace fathom {
namespace {

TEST(DecodeStep, AllocatesNothing) {
  for (const char* name : {"v3-fp8", "v3-bf16", "v2-group"}) {
    for (const char* kv_dtype : {"bf16", "fp8", "f32"}) {
      auto loaded = load_model({.path = testing::reference_model_folder(name),
                                .n_threads = 2,
                                .isa = "auto",
                                .activations = "auto",
                                .kv_dtype = kv_dtype,
                                .attention = "auto",
                                .context = 200,
                                .max_memory = {},
                                .max_running = 4,
                                .prefill_rows = 64,
                                .needs_tokenizer = false});
      ASSERT_TRUE(loaded.ok()) << loaded.error().message;
      LoadedModel& model = **loaded;
      KvSequence a(*model.kv, 200), b(*model.kv, 200);
      ASSERT_TRUE(a.reserve(200) && b.reserve(200));
      const std::vector<int32_t> prompt(60, 7);
      const std::vector<BatchSequence> prefill = {
          {.tokens = prompt, .first_position = 0, .absorbed = false, .kv = &a}};
      model.transformer->forward({.sequences = prefill});
      Sampler sampler(model.config.vocab_size);
      std::vector<float> logits(static_cast<size_t>(2 * model.config.vocab_size));
      const int32_t rows[] = {0, 1};
      const int32_t token_a[] = {3}, token_b[] = {5};
      std::vector<BatchSequence> step = {
          {.tokens = token_a, .first_position = 60, .absorbed = true, .kv = &a},
          {.tokens = token_b, .first_position = 0, .absorbed = true, .kv = &b}};
      const TokenCounts counts;
      const auto decode = [&] {
        model.transformer->logits(model.transformer->forward({.sequences = step}), rows,
                                  logits.data());
        sampler.sample(
            std::span<const float>(logits).first(static_cast<size_t>(model.config.vocab_size)),
            {.temperature = 0.7, .top_p = 0.9}, counts, 60);
        for (auto& sequence : step) ++sequence.first_position;
      };
      decode();
      allocations = 0;
      counting = true;
      for (int i = 0; i < 10; ++i) decode();
      counting = false;
      EXPECT_EQ(allocations.load(), 0) << name << ' ' << kv_dtype;
    }
  }
}

}  // namespace
}  // namespace fathom
