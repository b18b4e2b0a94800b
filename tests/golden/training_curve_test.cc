// Goal: fifty steps of the whole loop (schedule, accumulation, clipping, AdamW, router biases) are
// those of an independent program in double. Method: stored curves (losses, gradient norms, loads,
// final weights); the trained model in F32, and the model in double along the report's formulas,
// both with masters and moments in F32.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <optional>

#include "io/json.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"
#include "model/open_model.h"
#include "tests/support/naive/model.h"
#include "tests/support/temp_folder.h"
#include "train/model_trainee.h"
#include "train/trainer.h"

namespace fathom {
namespace {

using testing_support::TempFolder;

constexpr int64_t kSteps = 50, kBatch = 4, kLength = 48;

struct Reference {
  explicit Reference(const std::string& folder)
      : map(MappedFile::open(folder + "/reference.safetensors").value()),
        file(*parse_safetensors(map.bytes(), "reference")) {}
  template <typename T>
  const T* data(const std::string& name) const {
    const Tensor* const found = file.find(name);
    return found == nullptr ? nullptr : static_cast<const T*>(found->data);
  }
  MappedFile map;
  SafetensorsFile file;
};

std::string configuration(const std::string& folder, const Reference& reference, bool full,
                          int64_t micro_batch) {
  std::string rates;
  for (int64_t step = 1; step <= kSteps; ++step) {
    const double rate = reference.data<double>("learning_rate")[step - 1];
    rates += str_cat("{ value = ", Json(rate).dump(), ", until_step = ", step + 1, " },");
  }
  rates += "{ value = 0.0 }";
  return str_cat("output = \"run\"\nsteps = 50\nprecision = \"fp32\"\n[model]\ninit = \"", folder,
                 "\"\n[data]\nsequence_length = 48\nbatch = 4\nmicro_batch = ", micro_batch,
                 "\nsources = [{ path = \"none\" }]\n[optimizer]\nmoments = \"f32\"\n",
                 "learning_rate = [", rates, "]\n[mtp]\nlambda = ", full ? "0.3" : "0.0",
                 "\n[balance]\nbias_speed = 0.01\nalpha = ", full ? "0.001" : "0.0", "\n");
}

void expect_step(const StepReport& report, const Reference& reference) {
  const int64_t i = report.step - 1;
  const double loss = reference.data<double>("loss")[i];
  EXPECT_NEAR(report.loss, loss, 5e-6) << "step " << report.step;
  EXPECT_NEAR(report.loss_main, reference.data<double>("loss_main")[i], 5e-6);
  if (const double* mtp = reference.data<double>("loss_mtp")) {
    EXPECT_NEAR(report.loss_mtp, mtp[i], 5e-6);
  }
  EXPECT_NEAR(report.gradient_norm, reference.data<double>("grad_norm")[i], 5e-6);
  const int64_t* loads = reference.data<int64_t>("loads");
  const size_t n_layers = report.loads.size();
  for (size_t layer = 0; layer < n_layers; ++layer) {
    const auto& mine = report.loads[layer];
    const int64_t* theirs = loads + (static_cast<size_t>(i) * n_layers + layer) * mine.size();
    EXPECT_TRUE(std::equal(mine.begin(), mine.end(), theirs))
        << "loads of layer " << layer << " in step " << report.step;
  }
}

void expect_final_weights(Trainee& model, const Reference& reference) {
  for (const TrainedTensor& tensor : model.tensors()) {
    const float* want = reference.data<float>("final." + tensor.name);
    ASSERT_NE(want, nullptr) << tensor.name;
    double worst = 0;
    for (int64_t i = 0; i < tensor.size; ++i) {
      const float got = model.values()[static_cast<size_t>(tensor.offset + i)];
      worst = std::max(worst, std::fabs(static_cast<double>(got) - static_cast<double>(want[i])));
    }
    EXPECT_LT(worst, 5e-6) << tensor.name;
  }
}

// Where the curve stands: a copy in the clone, or the full set beside it.
std::string folder_of(const std::string& name) {
  const std::string copy =
      std::filesystem::absolute(std::string(FATHOM_TESTDATA) + "/training/" + name);
  if (std::filesystem::exists(copy)) return copy;
  return std::filesystem::absolute(std::string(FATHOM_SHARED) + "/reference/training/" + name);
}

void run_curve(const RunConfig& run, const Reference& reference, Compute compute, Trainee& model) {
  TrainerHooks hooks;
  hooks.sequence = [&](int64_t, int64_t index, std::span<int32_t> tokens,
                       std::span<uint8_t> mask) -> Status {
    const int64_t* row = reference.data<int64_t>("tokens") + index * (kLength + 1);
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(row[i]);
    std::fill(mask.begin(), mask.end(), uint8_t{1});
    return {};
  };
  hooks.save_weights = [](const std::string&) -> Status { return {}; };
  hooks.wall_time = [] { return 0.0; };
  hooks.report = [&](const StepReport& report) { expect_step(report, reference); };
  const auto trainer = Trainer::create(run, compute, model, hooks, /*resume=*/false);
  ASSERT_TRUE(trainer.ok()) << trainer.error().message;
  const Status status = (*trainer)->run();
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ((*trainer)->state().step, kSteps);
  expect_final_weights(model, reference);
}

// What all curves need: false where the reference is not there.
struct Curve {
  Curve(const std::string& name, int64_t micro_batch)
      : folder(folder_of(name)),
        there(std::filesystem::exists(folder)),
        pool(2),
        compute{available_isas().back(), &pool} {
    if (!there) return;
    reference.emplace(folder);
    run = parse_run_config(configuration(folder, *reference, name == "curve-full", micro_batch),
                           "run.toml", temp.path(), {})
              .value();
    shape = run_model(run).value();
  }
  TempFolder temp;
  std::string folder;
  bool there;
  Pool pool;
  Compute compute;
  std::optional<Reference> reference;
  RunConfig run;
  RunModel shape;
};

void run_naive(const std::string& name, int64_t micro_batch) {
  Curve curve(name, micro_batch);
  if (!curve.there) GTEST_SKIP() << curve.folder << " is not there";
  naive::Model model(curve.shape.config);
  ASSERT_TRUE(model.load(curve.folder + "/model.safetensors").ok());
  run_curve(curve.run, *curve.reference, curve.compute, model);
}

void run_trained(const std::string& name, int64_t micro_batch) {
  Curve curve(name, micro_batch);
  if (!curve.there) GTEST_SKIP() << curve.folder << " is not there";
  TrainableOptions options;
  options.precision = TrainingPrecision::kFp32;
  options.max_sequences = micro_batch;
  options.sequence_length = kLength;
  options.checkpoint = open_model(curve.folder).value().checkpoint;
  const auto model = TrainableModel::create(curve.shape.config, options, curve.compute).value();
  ModelTrainee trainee(*model);
  run_curve(curve.run, *curve.reference, curve.compute, trainee);
}

TEST(NaiveCurve, Plain) { run_naive("curve-plain", 4); }
TEST(NaiveCurve, WithMtpAndBalance) { run_naive("curve-full", 4); }
TEST(NaiveCurve, InMicroBatches) { run_naive("curve-full", 1); }
TEST(TrainingCurve, Plain) { run_trained("curve-plain", 4); }
TEST(TrainingCurve, WithMtpAndBalance) { run_trained("curve-full", 4); }
TEST(TrainingCurve, InMicroBatches) { run_trained("curve-full", 2); }

}  // namespace
}  // namespace fathom
