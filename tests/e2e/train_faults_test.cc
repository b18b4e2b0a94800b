// Goal: a run that cannot be what its configuration says is refused before anything is written.
// Method: the program itself on a configuration, shards or a tokenizer of which one thing is wrong.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/e2e/training_run.h"
#include "tests/support/faults.h"

namespace fathom::test {
namespace {

void prepare(const TempDir& folder) {
  make_training_files(folder);
  folder.write("run.toml", training_configuration());
}

Words train(Words rest = {}) {
  rest.insert(rest.begin(), {"train", "{}/run.toml"});
  return rest;
}

Words set(const std::string& value) { return train({"--set", value}); }

Break config(std::string what, std::string with) {
  return in_order({prepare, replace_in("run.toml", std::move(what), std::move(with))});
}

std::vector<Fault> usage_faults() {
  return {
      {"NothingGiven", {}, {"train"}, {"CONFIG", "--resume"}, 2},
      {"UnknownOption", prepare, train({"--resum", "x"}), {"'--resum'", "'--resume'"}, 2},
      {"SetWithoutAValue", prepare, set("seed"), {"--set", "name=value", "'seed'"}, 2},
      {"SetWithoutAName", prepare, set("=3"), {"--set", "name=value"}, 2},
      {"SetBelowANumber", prepare, set("seed.x=3"), {"--set", "seed"}, 2},
      {"ThreadsZero", prepare, train({"--threads", "0"}), {"--threads", "'0'"}, 2},
      {"UnknownInstructionSet", prepare, train({"--isa", "mmx"}), {"--isa", "mmx", "avx2"}, 2},
      {"TwoConfigurations", prepare, train({"{}/run.toml"}), {}, 2},
  };
}

std::vector<Fault> configuration_faults() {
  return {
      {"NoFile", {}, train(), {"{}/run.toml"}},
      {"NotToml", put("run.toml", "steps 20\n"), train(), {"run.toml:1"}},
      {"Empty", put("run.toml", ""), train(), {"run.toml"}},
      {"UnknownField", config("seed = 7", "sead = 7"), train(), {"run.toml:4", "sead", "'seed'"}},
      {"UnknownFieldInATable",
       config("micro_batch", "microbatch"),
       train(),
       {"run.toml", "data.microbatch", "'micro_batch'"}},
      {"UnknownFieldSet", prepare, set("data.microbatch=4"), {"data.microbatch", "'micro_batch'"}},
      {"AWordForANumber", prepare, set("steps=many"), {"steps"}},
      {"NegativeSteps", prepare, set("steps=-3"), {"steps", "-3"}},
      {"NoEnd", config("steps = 20", ""), train(), {"no end", "steps or tokens"}},
      {"UnknownPrecision", prepare, set("precision=fp16"), {"precision", "'fp16'"}},
      {"NoSources", config("sources = [{ path = \"shards\" }]", ""), train(), {"data", "sources"}},
      {"SourceWithoutAPath", config("path = ", "pth = "), train(), {"data.sources[0]"}},
      {"NoLearningRate", config("learning_rate", "beta1 = 0.9\n#"), train(), {"learning_rate"}},
      {"SamplesWithoutATokenizer",
       config("tokenizer = \"tokenizer\"", ""),
       train(),
       {"sample", "tokenizer"}},
      {"SequenceBeyondThePositions",
       prepare,
       set("data.sequence_length=128"),
       {"data.sequence_length", "128", "64"}},
      {"ModelWithoutExpertsEnough",
       prepare,
       set("model.inline.num_experts_per_tok=8"),
       {"num_experts_per_tok"}},
      {"ModelAsFileAndInline",
       prepare,
       set("model.config='config.json'"),
       {"model", "config and inline"}},
      {"ModelFromNowhere", prepare, set("model.init='nowhere'"), {"nowhere"}},
  };
}

std::vector<Fault> data_faults() {
  return {
      {"NoShards", prepare, set("data.sources=[{path='nowhere'}]"), {"{}/nowhere"}},
      {"ShardsOfALargerVocabulary",
       config("vocab_size = 263", "vocab_size = 262"),
       train(),
       {"{}/shards", "263", "262"}},
      {"ShardsOfAnotherTokenizer",
       in_order({prepare, replace_in("tokenizer/tokenizer.json", "\"hell\"", "\"hull\""),
                 replace_in("tokenizer/tokenizer.json", "\"he ll\",", "")}),
       train(),
       {"{}/tokenizer"}},
      {"NoTokenizer", prepare, set("tokenizer='nowhere'"), {"{}/nowhere"}},
      {"ShardsCutShort",
       in_order({prepare,
                 [](const TempDir& folder) {
                   std::filesystem::resize_file(folder.file("shards/train-0.tokens"), 1000);
                 }}),
       train(),
       {"train-0.tokens"}},
      {"ShardsChanged",
       in_order({prepare,
                 [](const TempDir& folder) {
                   std::string bytes = read_file(folder.file("shards/train-0.tokens"));
                   bytes[100] = static_cast<char>(bytes[100] ^ 1);
                   folder.write("shards/train-0.tokens", bytes);
                 }}),
       train(),
       {"train-0.tokens"}},
      {"SequencesLongerThanTheText",
       in_order({config("max_position_embeddings = 64", "max_position_embeddings = 1000000"),
                 replace_in("run.toml", "sequence_length = 32", "sequence_length = 900000")}),
       train(),
       {"{}/shards", "900001"}},
      {"APromptLongerThanASequence",
       config("prompts = [\"The fox\"]",
              "prompts = [\"The fox\", \"The fox went out into the cold and dark night\"]"),
       train(),
       {"'The fox went out", "sample.prompts", "32"}},
      {"AnEmptyPromptWithoutBos",
       in_order({config("prompts = [\"The fox\"]", "prompts = [\"\"]"),
                 replace_in("tokenizer/tokenizer_config.json", "true", "false")}),
       train(),
       {"prompt has no tokens"}},
      {"MoreMemoryThanThereIs",
       prepare,
       train({"--set", "data.batch=1000000", "--set", "data.micro_batch=1000000"}),
       {"{}/run.toml", "needs about", "this machine has", "data.micro_batch"}},
      {"ResumeOfNothing", prepare, {"train", "--resume", "{}/nowhere"}, {"{}/nowhere"}},
      {"OutputUnderAFile", prepare, set("output='run.toml/x'"), {"run.toml"}},
  };
}

TEST_P(FaultTest, Train) { expect_one_sentence(GetParam()); }
INSTANTIATE_TEST_SUITE_P(TrainUsage, FaultTest, testing::ValuesIn(usage_faults()), fault_name);
INSTANTIATE_TEST_SUITE_P(TrainConfiguration, FaultTest, testing::ValuesIn(configuration_faults()),
                         fault_name);
INSTANTIATE_TEST_SUITE_P(TrainData, FaultTest, testing::ValuesIn(data_faults()), fault_name);

TEST(TrainFaults, AFolderThatHoldsARunIsNotWrittenOver) {
  const TrainingFolder folder;
  train_well(folder.train("run", {"steps=2"}));
  const auto before = files_of(folder.checkpoint("run", 2));
  const RunResult again = run_fathom(folder.train("run"));
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_NE(again.err.find("holds a run already"), std::string::npos) << again.err;
  EXPECT_NE(again.err.find("--resume"), std::string::npos) << again.err;
  EXPECT_TRUE(files_of(folder.checkpoint("run", 2)) == before);
}

TEST(TrainFaults, AnotherRecipeIsNoResume) {
  const TrainingFolder folder;
  train_well(folder.train("run", {"steps=2"}));
  for (const char* change : {"seed=8", "data.micro_batch=3", "optimizer.clip=0.5"}) {
    const RunResult result = run_fathom(folder.resume("run", {change, "steps=4"}));
    EXPECT_EQ(result.exit_code, 1) << change;
    EXPECT_NE(result.err.find("another configuration"), std::string::npos) << result.err;
  }
  train_well(folder.resume("run", {"steps=3", "evaluate.every=1", "sample.tokens=4"}));
}

TEST(TrainFaults, ADamagedCheckpointIsNotTrainedOn) {
  const TrainingFolder folder;
  train_well(folder.train("run", {"steps=10"}));
  const std::string state = folder.checkpoint("run", 10) + "/trainer_state.safetensors";
  std::string bytes = read_file(state);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  folder.dir.write(state.substr(folder.output("").size()), bytes);
  const RunResult result = run_fathom(folder.resume("run", {"steps=20"}));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find(state + " is damaged"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("to go on from step 5, remove"), std::string::npos) << result.err;
  EXPECT_EQ(folder.checkpoints("run"), (std::vector<int64_t>{5, 10}));
  std::filesystem::remove_all(folder.checkpoint("run", 10));
  train_well(folder.resume("run", {"steps=10"}));
}

TEST(TrainFaults, OtherShardsAreNoResume) {
  const TrainingFolder folder;
  train_well(folder.train("run", {"steps=2"}));
  const RunResult made =
      run_fathom({"data", folder.dir.file("documents.jsonl"), "--tokenizer",
                  folder.dir.file("tokenizer"), "--output", folder.dir.file("shards"),
                  "--validation-fraction", "0.2", "--force", "--quiet"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const RunResult result = run_fathom(folder.resume("run", {"steps=4"}));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find(folder.output("shards") + " holds other shards"), std::string::npos)
      << result.err;
}

TEST(TrainFaults, NothingHeldOutIsANoteAndTheRunGoesOn) {
  const TrainingFolder folder;
  const RunResult made = run_fathom({"data", folder.dir.file("documents.jsonl"), "--tokenizer",
                                     folder.dir.file("tokenizer"), "--output",
                                     folder.dir.file("shards"), "--force", "--quiet"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const std::string err = train_well(folder.train("run"));
  EXPECT_NE(err.find("nothing is held out"), std::string::npos) << err;
  EXPECT_NE(err.find("--validation-fraction"), std::string::npos) << err;
  EXPECT_EQ(err.find("validation loss"), std::string::npos) << err;
}

}  // namespace
}  // namespace fathom::test
