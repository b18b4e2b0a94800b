// A model made ready to run: files, config, weights, tokenizer, threads, the transformer and the
// memory of its caches, within the memory that the caller allows. Commands and the server start
// here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "engine/generation_config.h"
#include "engine/streamed_weights.h"
#include "io/model_files.h"
#include "model/transformer.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

struct LoadModelOptions {
  std::string path;  // a folder; empty: the embedded model
  int n_threads = 1;
  std::string isa = "auto";
  std::string activations = "auto";  // auto fp8 bf16 full
  std::string kv_dtype = "auto";     // auto bf16 fp8 f32
  std::string attention = "auto";    // auto naive absorbed
  std::string drafts = "auto";       // auto on off
  std::optional<int64_t> context;  // positions of a sequence; default: what the model was made for
  std::optional<int64_t> max_memory;  // bytes of the process; what does not fit is streamed
  // Stream with so many experts in memory, whatever max_memory says.
  std::optional<int64_t> expert_slots = {};
  std::optional<int64_t> kv_memory = {};  // bytes of the caches; default: a few contexts
  int64_t max_running = 1;                // sequences at once
  int64_t prefill_rows = kPrefillRows;    // rows of prompts in one pass; fewer if memory is short
  bool needs_tokenizer = true;            // else one is loaded if it is there
};

struct LoadedModel {
  explicit LoadedModel(ModelFiles model_files) : files(std::move(model_files)) {}

  ModelFiles files;
  ModelConfig config;
  ModelWeights weights;
  std::optional<Tokenizer> tokenizer;
  GenerationConfig generation;  // eos_token_ids resolved: generation_config.json, else config.json,
                                // else the tokenizer
  AttentionForm attention = AttentionForm::kAuto;
  Drafting drafting = Drafting::kAuto;
  Activations activations = Activations::kBf16;
  KvDtype kv_dtype = KvDtype::kBf16;
  int64_t context = 0;
  int64_t max_running = 1;
  int64_t prefill_rows = 0;
  std::unique_ptr<Pool> pool;
  std::unique_ptr<StreamedWeights> streamed;  // null: all weights are in memory or mapped
  std::unique_ptr<Transformer> transformer;
  std::optional<KvPool> kv;

  // A new engine over this model; one at a time.
  std::unique_ptr<Engine> make_engine();
};

// On the heap, since its parts point at each other.
Result<std::unique_ptr<LoadedModel>> load_model(const LoadModelOptions& options);

// What --activations means for this model (cli.md): auto is fp8 where quantization_config says so,
// full for F32 weights, else bf16.
Result<Activations> resolve_activations(std::string_view name, const ModelConfig& config,
                                        const ModelWeights& weights);
// auto is f32 with full activations, else bf16.
Result<KvDtype> resolve_kv_dtype(std::string_view name, Activations activations);

}  // namespace fathom
