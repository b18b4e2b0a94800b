#include "cli/bench_model.h"

#include <chrono>
#include <filesystem>

#include "base/seconds_since.h"
#include "cli/inspect_report.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "engine/loaded_model.h"
#include "engine/machine.h"
#include "io/checkpoint_save.h"
#include "io/files.h"
#include "io/printable.h"
#include "model/config_slice.h"
#include "model/open_model.h"
#include "model/parameters.h"
#include "model/random_weights.h"

namespace fathom::cli {

namespace {

using Clock = std::chrono::steady_clock;

// Where the weights come from, before they are there.
struct Source {
  std::string name;         // of random weights, for people
  std::string config_json;  // of random weights
  std::optional<ModelFiles> files;
  ModelConfig config;
  std::shared_ptr<const Checkpoint> checkpoint;  // of files
};

Result<Source> open_random(const RandomModelOptions& random) {
  FATHOM_TRY(const std::string text, read_file(random.config));
  using Weights = ConfigSlice::Weights;
  constexpr std::pair<const char*, Weights> kFormats[] = {{"bf16", Weights::kBf16},
                                                          {"fp8", Weights::kFp8},
                                                          {"int8", Weights::kInt8},
                                                          {"int4", Weights::kInt4}};
  ConfigSlice slice{.vocab_size = random.vocab_size, .mtp = random.mtp};
  for (const auto& [name, weights] : kFormats) {
    if (random.format == name) slice.weights = weights;
  }
  if (!random.layers.empty()) {
    FATHOM_TRY(slice.layers, parse_layers(random.layers));
  }
  Source source;
  source.name = str_cat("random ", random.format, " weights of ", printable(random.config));
  FATHOM_TRY(source.config_json, slice_config(text, printable(random.config), slice));
  FATHOM_TRY(source.config, parse_model_config(source.config_json, printable(random.config)));
  return source;
}

Result<Source> open_files(const std::string& path) {
  FATHOM_TRY(OpenedModel opened, open_model(path));
  Source source;
  source.files = std::move(opened.files);
  source.config = std::move(opened.config);
  for (const std::string& note : opened.notes) log_message(LogLevel::kWarning, note);
  source.checkpoint = std::move(opened.checkpoint);
  return source;
}

struct Needs {
  int64_t weights = 0;
  int64_t scratch = 0;
  int64_t cache = 0;
};

// What must be had anew must be available; everything together must stay within --max-memory.
Status check_memory(const Needs& needs, const BenchModelOptions& options, bool weights_in_memory) {
  const auto refuse = [&](std::string_view limit, int64_t bytes) {
    return exhausted_error(
        "the weights take ", human_bytes(needs.weights), ", scratch ", human_bytes(needs.scratch),
        ", caches ", human_bytes(needs.cache),
        " and the buffer that the read bandwidth is measured on ", human_bytes(options.meter_bytes),
        ", but ", limit, " ", human_bytes(bytes),
        weights_in_memory ? "; take fewer --layers, or a smaller --vocab, --depth or --batch"
                          : "; take a smaller --depth, --prompt or --batch");
  };
  const int64_t available = available_memory_bytes();  // the meter has its buffer already
  const int64_t fresh = needs.scratch + needs.cache + (weights_in_memory ? needs.weights : 0);
  if (fresh > available) return refuse("the memory that is free holds", available);
  // For weights that are there already, stream_if_larger() measures what is left.
  const std::optional<int64_t> allowed = options.common.max_memory;
  if (!weights_in_memory) return {};
  const int64_t used = used_memory_bytes();  // with the meter's buffer
  const int64_t all = used + needs.weights + needs.scratch + needs.cache;
  if (allowed && all + memory_margin(*allowed) > *allowed)
    return refuse("--max-memory is", *allowed);
  return {};
}

WorkspaceLimits limits_of(const std::vector<BenchTest>& tests, const BenchModelOptions& options) {
  WorkspaceLimits limits = Bench::limits(tests, options.prefill_rows);
  if (!options.drafts) return limits;
  const WorkspaceLimits drafts = draft_bench_limits(*options.drafts);
  limits.max_rows = std::max(limits.max_rows, drafts.max_rows);
  limits.max_sequences = std::max(limits.max_sequences, drafts.max_sequences);
  limits.max_context = std::max(limits.max_context, drafts.max_context);
  limits.max_logit_rows = std::max(limits.max_logit_rows, drafts.max_logit_rows);
  return limits;
}

int64_t cache_bytes(const std::vector<BenchTest>& tests, const BenchModelOptions& options,
                    const KvLayout& layout, int64_t n_layers) {
  const int64_t drafts =
      options.drafts ? draft_bench_kv_bytes(*options.drafts, layout, n_layers) : 0;
  return Bench::kv_bytes(tests, layout, n_layers) + drafts;
}

Needs needs_of(const ModelConfig& config, int64_t n_mtp, KvDtype kv_dtype,
               const std::vector<BenchTest>& tests, const BenchModelOptions& options) {
  return {.weights = 0,
          .scratch = Workspace::bytes(config, limits_of(tests, options)),
          .cache = cache_bytes(tests, options, kv_layout(config, kv_dtype),
                               config.num_hidden_layers + n_mtp)};
}

// Of a model whose scratch is mapped, untouched bytes of it without a page yet, and whose caches
// are not: experts are streamed if not everything fits. The meter's buffer is part of what is used.
Status stream_if_larger(BenchModel& model, int64_t untouched, int64_t caches, int64_t max_memory) {
  constexpr std::string_view kLess = "a smaller --prompt, --chunk, --depth or --batch";
  const ModelConfig& config = model.facts.config;
  const Compute& compute = model.transformer->compute();
  const WorkspaceLimits& limits = model.transformer->limits();
  const int64_t later = caches + compute.pool->n_threads() * linear_thread_bytes() +
                        limits.max_logit_rows * config.vocab_size * int64_t{sizeof(float)};
  const int64_t weights = weights_beyond_used(*model.weights.checkpoint);
  const int64_t all = used_memory_bytes() + untouched + later + weights;
  if (all + memory_margin(max_memory) <= max_memory) return {};
  if (!stream_needs(config, model.weights).possible) {
    return exhausted_error("--max-memory ", human_bytes(max_memory), " is too little: at least ",
                           readable_bytes(least_limit(all)),
                           " are needed, with the buffer that the read bandwidth is measured on; "
                           "give more, or ",
                           kLess);
  }
  FATHOM_TRY(model.streamed,
             StreamedWeights::create(
                 config, model.weights,
                 {.limit = max_memory, .untouched = untouched, .later = later, .less = kLess}));
  model.transformer->set_expert_source(&model.streamed->experts());
  print_note(model.streamed->plan());
  return {};
}

Status make_transformer(BenchModel& model, const ModelOptions& options, const Compute& compute,
                        int64_t caches, std::optional<int64_t> max_memory) {
  const int64_t untouched = untouched_memory_bytes();
  model.transformer =
      std::make_unique<Transformer>(model.facts.config, model.weights, options, compute);
  if (!max_memory) return {};
  return stream_if_larger(model, untouched_memory_bytes() - untouched, caches, *max_memory);
}

Result<Checkpoint> make_random(const Source& source, const BenchModelOptions& options, Pool& pool,
                               BenchModelFacts& facts) {
  const int64_t bytes =
      count_bytes(stored_tensors_once(source.config, WeightPrecision::kAsConfigured)).total;
  const auto begin = Clock::now();
  Progress making("making weights", bytes, "bytes");
  FATHOM_TRY(
      Checkpoint checkpoint,
      random_checkpoint(
          source.config, source.name,
          {.seed = options.seed, .progress = [&](int64_t done) { making.update(done); }}, pool));
  making.hide();
  facts.make_seconds = seconds_since(begin);
  if (options.random.save.empty()) return checkpoint;
  Progress saving("saving weights", bytes, "bytes");
  const SaveOptions save{.force = options.random.force,
                         .progress = [&](int64_t done) { saving.update(done); }};
  FATHOM_RETURN_IF_ERROR(
      save_checkpoint(checkpoint, source.config_json, options.random.save, save));
  return checkpoint;
}

// "fp8", "bf16" or "full"; the scale format is the config's.
const char* name_of(Activations activations) {
  switch (activations) {
    case Activations::kFull:
      return "full";
    case Activations::kBf16:
      return "bf16";
    case Activations::kFp8:
    case Activations::kFp8Ue8m0:
      return "fp8";
    case Activations::kInt8:
      return "int8";
  }
  return "";
}
const char* name_of(KvDtype dtype) {
  switch (dtype) {
    case KvDtype::kF32:
      return "f32";
    case KvDtype::kBf16:
      return "bf16";
    case KvDtype::kFp8:
      return "fp8";
  }
  return "";
}

AttentionForm attention_form(const std::string& name) {  // one of the option's choices
  if (name == "naive") return AttentionForm::kNaive;
  return name == "absorbed" ? AttentionForm::kAbsorbed : AttentionForm::kAuto;
}

}  // namespace

Result<std::unique_ptr<BenchModel>> load_bench_model(const BenchModelOptions& options,
                                                     const Compute& compute,
                                                     const ChooseTests& choose_tests,
                                                     std::vector<BenchTest>& tests) {
  const CommonOptions& common = options.common;
  const bool random = !options.random.config.empty();
  auto model = std::make_unique<BenchModel>();
  BenchModelFacts& facts = model->facts;
  auto begin = Clock::now();
  FATHOM_TRY(Source source, random ? open_random(options.random) : open_files(common.model));
  facts.source = random ? source.name : source.files->describe();
  facts.config = source.config;
  if (options.drafts && source.config.num_nextn_predict_layers == 0) {
    return invalid_error("--acceptance measures drafts, but the model has no MTP module",
                         random ? "; random weights have one with --mtp" : "");
  }
  FATHOM_TRY(tests, choose_tests(source.config.max_position_embeddings));

  std::optional<Checkpoint> checkpoint;
  if (random) {
    // Before the work: no random matrix is F32, so that auto is not full.
    FATHOM_TRY(
        const KvDtype kv_dtype,
        resolve_kv_dtype(common.kv_dtype,
                         common.activations == "full" ? Activations::kFull : Activations::kBf16));
    Needs needs =
        needs_of(source.config, source.config.num_nextn_predict_layers, kv_dtype, tests, options);
    needs.weights =
        count_bytes(stored_tensors_once(source.config, WeightPrecision::kAsConfigured)).total;
    FATHOM_RETURN_IF_ERROR(check_memory(needs, options, true));
    FATHOM_TRY(checkpoint, make_random(source, options, *compute.pool, facts));
    begin = Clock::now();
  } else {
    checkpoint = *source.checkpoint;
  }
  facts.weight_bytes = checkpoint->total_bytes();
  FATHOM_TRY(model->weights,
             load_weights(facts.config, std::make_shared<const Checkpoint>(std::move(*checkpoint)),
                          {.release_pages = common.max_memory.has_value()}));
  for (const std::string& note : model->weights.notes) log_message(LogLevel::kWarning, note);
  facts.n_mtp = static_cast<int64_t>(model->weights.mtp.size());
  if (options.drafts && facts.n_mtp == 0)
    return invalid_error(
        "--acceptance measures drafts, but the files hold no weights of the MTP module");

  FATHOM_TRY(model->activations,
             resolve_activations(common.activations, facts.config, model->weights));
  FATHOM_TRY(const KvDtype kv_dtype, resolve_kv_dtype(common.kv_dtype, model->activations));
  model->attention = attention_form(common.attention);
  facts.activations = name_of(model->activations);
  facts.kv_dtype = name_of(kv_dtype);
  facts.attention = common.attention;
  if (!random) {
    Needs needs = needs_of(facts.config, facts.n_mtp, kv_dtype, tests, options);
    needs.weights = facts.weight_bytes;
    FATHOM_RETURN_IF_ERROR(check_memory(needs, options, false));
  }
  const ModelOptions model_options{
      .activations = model->activations, .kv_dtype = kv_dtype, .limits = limits_of(tests, options)};
  const int64_t caches = cache_bytes(tests, options, kv_layout(facts.config, kv_dtype),
                                     facts.config.num_hidden_layers + facts.n_mtp);
  FATHOM_RETURN_IF_ERROR(make_transformer(*model, model_options, compute, caches,
                                          random ? std::nullopt : common.max_memory));
  facts.load_seconds = seconds_since(begin);
  return model;
}

}  // namespace fathom::cli
