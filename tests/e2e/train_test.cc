// Goal: `fathom train` does what docs/training.md says: what a run writes can be read, run and gone
// on with, and the weights follow from configuration, data and seed alone. Method: the program
// itself, text to shards to a tiny model; laws over the bytes of checkpoints and logs.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <sstream>

#include "tests/e2e/training_run.h"
#include "tests/support/json_lines.h"
#include "train/data_loader.h"

namespace fathom::test {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSteps = 20;

// Lines of the log that have a field.
std::vector<Json> lines_with(const std::vector<Json>& log, std::string_view field) {
  std::vector<Json> out;
  for (const Json& line : log) {
    if (line.find(field) != nullptr) out.push_back(line);
  }
  return out;
}

double number(const Json& line, std::string_view field) {
  const Json* value = line.find(field);
  EXPECT_NE(value, nullptr) << field << " of " << line.dump();
  return value == nullptr ? NAN : value->as_double();
}

TEST(Train, WritesLogsEventsSamplesAndCheckpointsThatRun) {
  const TrainingFolder folder;
  const std::string err = train_well(folder.train("run"));
  EXPECT_NE(err.find("step 1/20, 192 tokens: loss "), std::string::npos) << err;
  EXPECT_NE(err.find("tokens/s"), std::string::npos) << err;
  EXPECT_NE(err.find("% of peak"), std::string::npos) << err;
  EXPECT_NE(err.find("step 10: validation loss "), std::string::npos) << err;
  EXPECT_NE(err.find("step 20: The fox"), std::string::npos) << err;
  EXPECT_NE(err.find("the run is complete: " + folder.output("run")), std::string::npos) << err;

  const std::vector<Json> log = folder.log("run");
  const std::vector<Json> steps = lines_with(log, "loss");
  ASSERT_EQ(std::ssize(steps), kSteps);
  for (int64_t i = 0; i < kSteps; ++i) {
    const Json& line = steps[static_cast<size_t>(i)];
    EXPECT_EQ(line.find("step")->as_int(), i + 1);
    EXPECT_EQ(line.find("tokens")->as_int(), (i + 1) * 6 * TrainingFolder::kSequenceLength);
    EXPECT_NEAR(
        number(line, "loss"),
        number(line, "loss_main") + 0.3 * number(line, "loss_mtp") + number(line, "loss_balance"),
        1e-9);
    EXPECT_GT(number(line, "gradient_norm"), 0);
    EXPECT_DOUBLE_EQ(number(line, "learning_rate"), std::min(1e-2, 1e-2 / 4 * double(i + 1)));
    EXPECT_EQ(std::ssize(line.find("loads")->as_array()), 2) << "a MoE layer and the MTP module";
  }
  EXPECT_NEAR(number(steps.front(), "loss_main"), std::log(263), 0.3) << "an untrained model";
  EXPECT_LT(number(steps.back(), "loss_main"), number(steps.front(), "loss_main") - 1);
  const std::vector<Json> validations = lines_with(log, "validation_loss");
  ASSERT_EQ(validations.size(), 2u);
  EXPECT_LT(number(validations[1], "validation_bits_per_byte"),
            number(validations[0], "validation_bits_per_byte"));
  ASSERT_EQ(lines_with(log, "samples").size(), 2u);
  EXPECT_TRUE(lines_with(log, "samples")[1].find("samples")->as_array()[0].as_string().starts_with(
      "The fox"));

  int n_event_files = 0;
  for (const auto& [name, bytes] : files_of(folder.output("run"))) {
    if (!name.starts_with("events.out.tfevents.")) continue;
    ++n_event_files;
    for (const char* part : {"brain.Event:2", "loss/main", "optimizer/learning_rate",
                             "router/max_violation", "validation/bits_per_byte"})
      EXPECT_NE(bytes.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(n_event_files, 1);

  EXPECT_EQ(folder.checkpoints("run"), (std::vector<int64_t>{15, 20}));
  const RunResult text = run_fathom(
      {"generate", "--model", folder.checkpoint("run", kSteps), "--max-tokens", "8", "The fox"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_FALSE(text.out.empty());
}

// The validation that a run reports is what `fathom score` says of the checkpoint on the held-out
// sequences, and the loss of a step what it says of the checkpoint before on the step's batch.
TEST(Train, LossesAreThoseOfTheEngineOnTheCheckpoints) {
  const TrainingFolder folder;
  const auto score = [&](const std::string& checkpoint, Split split, int64_t first, int64_t n) {
    const DataLoader loader =
        DataLoader::open(
            {{folder.output("shards"), 1}},
            {.sequence_length = TrainingFolder::kSequenceLength, .seed = 7, .split = split})
            .value();
    std::string input;
    for (int64_t i = first; i < first + n; ++i) {
      std::vector<int32_t> tokens(TrainingFolder::kSequenceLength + 1);
      std::vector<uint8_t> mask(TrainingFolder::kSequenceLength);
      EXPECT_TRUE(loader.sequence(i, tokens, mask).ok());
      Json ids = Json::array();
      for (const int32_t token : tokens) ids.push_back(token);
      input += Json(Json::Object{{"ids", ids}}).dump() + "\n";
    }
    const RunResult scored =
        run_fathom({"score", "--model", checkpoint, "--attention", "naive"}, {.input = input});
    EXPECT_EQ(scored.exit_code, 0) << scored.err;
    double nll = 0;
    int64_t n_targets = 0;
    for (const Json& line : json_lines(scored.out)) {
      const auto& logprobs = line.find("logprobs")->as_array();
      for (size_t i = 1; i < logprobs.size(); ++i, ++n_targets)
        nll -= static_cast<double>(static_cast<float>(logprobs[i].as_double()));
    }
    EXPECT_EQ(n_targets, n * TrainingFolder::kSequenceLength);
    return nll / static_cast<double>(n_targets);
  };
  for (const char* precision : {"fp8", "bf16", "fp32"}) {
    SCOPED_TRACE(precision);
    train_well(folder.train(precision, {str_cat("precision=", precision)}));
    const std::vector<Json> log = folder.log(precision);
    const std::string at_15 = folder.checkpoint(precision, 15);
    const std::string at_20 = folder.checkpoint(precision, 20);
    // Sums of the same F32 values in double; those of a step are not rounded to F32 before.
    const double validation = number(lines_with(log, "validation_loss")[1], "validation_loss");
    EXPECT_NEAR(score(at_20, Split::kValidation, 0, 8), validation, 1e-12 * validation);
    const double loss = number(lines_with(log, "loss")[15], "loss_main");
    EXPECT_NEAR(score(at_15, Split::kTrain, 15 * 6, 6), loss, 0x1p-24 * loss);
  }
}

TEST(Train, BytesDoNotDependOnTheNumberOfThreads) {
  const TrainingFolder folder;
  for (const char* precision : {"fp8", "bf16", "fp32"}) {
    SCOPED_TRACE(precision);
    const std::string one = str_cat("one-", precision), two = str_cat("two-", precision);
    for (const auto& [output, threads] : {std::pair{one, "1"}, {two, "2"}}) {
      Words arguments = folder.train(output, {str_cat("precision=", precision)});
      arguments.insert(arguments.end(), {"--threads", threads, "--quiet"});
      EXPECT_EQ(train_well(arguments), "");
    }
    expect_same_files(folder.checkpoint(one, kSteps), folder.checkpoint(two, kSteps));
    EXPECT_EQ(folder.log_text(one), folder.log_text(two));
  }
}

// Everything that changes in the course of a run does so on both sides of the stop.
const Words kRecipe = {
    "data.batch=[{value=2,until_step=4},{value=6}]",
    "mtp.lambda=[{value=0.3,until_step=12},{value=0.1}]",
    "balance.bias_speed=[{value=0.01,until_step=13},{value=0.0}]",
    "spikes.factor=8.0",
};

TEST(Train, AResumedRunIsTheUninterruptedOne) {
  const TrainingFolder folder;
  for (const char* precision : {"fp8", "bf16", "fp32"}) {
    SCOPED_TRACE(precision);
    Words sets = kRecipe;
    sets.push_back(str_cat("precision=", precision));
    const std::string whole = str_cat("whole-", precision), parts = str_cat("parts-", precision);
    train_well(folder.train(whole, sets));
    Words first = sets;
    first.emplace_back("steps=3");
    train_well(folder.train(parts, first));
    for (const char* end : {"steps=10", "steps=11", "steps=20"})
      train_well(folder.resume(parts, {end}));
    expect_same_files(folder.checkpoint(whole, kSteps), folder.checkpoint(parts, kSteps));
    EXPECT_EQ(folder.log_text(whole), folder.log_text(parts));
  }
}

TEST(Train, AStageOfOtherTextAndTheEndByTokensAreResumedToo) {
  const TrainingFolder folder;
  train_well(folder.train("whole"));  // the second source below: shards of another order
  const RunResult made = run_fathom({"data", folder.dir.file("documents.jsonl"), "--tokenizer",
                                     folder.dir.file("tokenizer"), "--output",
                                     folder.dir.file("more"), "--fim-rate", "0", "--quiet"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  std::string config = training_configuration();
  const std::string sources = "sources = [{ path = \"shards\" }]";
  config.replace(config.find(sources), sources.size(),
                 "[[data.stages]]\nuntil_tokens = 1800\nsources = [{ path = \"shards\" }]\n"
                 "[[data.stages]]\nsources = [{ path = \"more\", weight = 0.7 }, "
                 "{ path = \"shards\", weight = 0.3 }]");
  config.replace(config.find("steps = 20"), 10, "tokens = \"3K\"");
  folder.dir.write("run.toml", config);
  train_well(folder.train("staged"));
  const std::vector<Json> log = folder.log("staged");
  const auto last = lines_with(log, "loss").back().find("step")->as_int();
  EXPECT_EQ(last, 16) << "of 192 tokens a step, the first that reaches 3,000";
  for (const int64_t stop : {9, 10, 12}) {  // before, at and after the change
    SCOPED_TRACE(stop);
    const std::string output = str_cat("stopped-", stop);
    train_well(folder.train(output, {str_cat("tokens=", 192 * stop)}));
    train_well(folder.resume(output, {"tokens=3000"}));
    expect_same_files(folder.checkpoint("staged", last), folder.checkpoint(output, last));
  }
}

TEST(Train, ARunStartsFromTheWeightsOfAnother) {
  const TrainingFolder folder;
  train_well(folder.train("first"));
  std::string config = training_configuration();
  config.replace(config.find("init_std = 0.05"), 15, "init = \"first\"");
  folder.dir.write("run.toml", config);
  train_well(folder.train("second", {"steps=1", "seed=8"}));
  const double before = number(lines_with(folder.log("first"), "loss")[19], "loss_main");
  const double after = number(lines_with(folder.log("second"), "loss")[0], "loss_main");
  EXPECT_NEAR(after, before, 0.7);
  EXPECT_LT(after, std::log(263) - 1);
}

// A checkpoint holds the model: what the run began with may have changed or gone.
TEST(Train, AResumedRunNeedsNeitherInitNorTheConfigThatItBeganWith) {
  const TrainingFolder folder;
  train_well(folder.train("first", {"steps=2"}));
  std::string config = training_configuration();
  const size_t inline_begin = config.find("[model.inline]");
  config.erase(inline_begin, config.find("[data]") - inline_begin);
  config.replace(config.find("init_std = 0.05"), 15, "init = \"first\"");
  folder.dir.write("run.toml", config);
  train_well(folder.train("whole", {"steps=4"}));
  train_well(folder.train("parts", {"steps=2"}));
  fs::rename(folder.output("first"), folder.output("elsewhere"));
  train_well(folder.resume("parts", {"steps=4"}));
  expect_same_files(folder.checkpoint("whole", 4), folder.checkpoint("parts", 4));
  // The checkpoint's own config.json is held against what was written.
  const std::string path = folder.checkpoint("parts", 4).substr(folder.output("").size());
  std::string json = read_file(folder.dir.file(path + "/config.json"));
  const size_t theta = json.find("\"rope_theta\": 10000.0");
  ASSERT_NE(theta, std::string::npos) << json;
  folder.dir.write(path + "/config.json", json.replace(theta, 21, "\"rope_theta\": 20000.0"));
  const RunResult result = run_fathom(folder.resume("parts", {"steps=6"}));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("config.json is not what the run wrote"), std::string::npos)
      << result.err;
}

TEST(Train, AnotherSeedIsAnotherRun) {
  const TrainingFolder folder;
  train_well(folder.train("seven", {"steps=1"}));
  train_well(folder.train("eight", {"steps=1", "seed=8"}));
  const std::string weights = "model-00001-of-00001.safetensors";
  EXPECT_TRUE(files_of(folder.checkpoint("seven", 1))[weights] !=
              files_of(folder.checkpoint("eight", 1))[weights]);
}

TEST(Train, DryRunSaysWhatTheRunTakesAndWritesNothing) {
  const TrainingFolder folder;
  Words arguments = folder.train("run");
  arguments.emplace_back("--dry-run");
  const RunResult text = run_fathom(arguments);
  EXPECT_EQ(text.exit_code, 0) << text.err;
  for (const char* part :
       {"parameters", "useful operations", "memory", "3840 tokens in 20 steps", "GFLOP/s in BF16"})
    EXPECT_NE(text.out.find(part), std::string::npos) << part << text.out;
  arguments.emplace_back("--json");
  const RunResult json = run_fathom(arguments);
  const Json document = parse_json(json.out).value();
  EXPECT_EQ(document.find("tokens")->as_int(), kSteps * 6 * TrainingFolder::kSequenceLength);
  EXPECT_EQ(document.find("steps")->as_int(), kSteps);
  EXPECT_GT(number(document, "bf16_gflop_s"), 0);
  EXPECT_GT(number(document, "seconds"), 0);
  const Json& memory = *document.find("memory");
  EXPECT_DOUBLE_EQ(number(memory, "total"),
                   number(memory, "masters") + number(memory, "gradients") +
                       number(memory, "moments") + number(memory, "weights") +
                       number(memory, "activations"));
  EXPECT_FALSE(fs::exists(folder.output("run")));
}

TEST(Train, OnATerminalOneLineIsRewritten) {
  const TrainingFolder folder;
  Words arguments = folder.train("run");
  arguments.insert(arguments.begin(), FATHOM_BINARY);
  Terminal terminal(arguments);
  EXPECT_TRUE(terminal.expect("step 1/20")) << terminal.output();
  EXPECT_TRUE(terminal.expect(" left")) << terminal.output();
  EXPECT_TRUE(terminal.expect("\r\033[K")) << terminal.output();
  EXPECT_TRUE(terminal.expect("the run is complete")) << terminal.output();
  EXPECT_EQ(terminal.wait(), 0);
}

}  // namespace
}  // namespace fathom::test
