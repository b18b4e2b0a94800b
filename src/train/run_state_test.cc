// Goal: nobody trains on from a state that is not what the run wrote, or in another run than wrote
// it; states of earlier versions are still taken. Method: checkpoints of the small run, damaged and
// rewritten, or resumed with something else in its place.
#include "train/run_state.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "io/mapped_file.h"
#include "io/safetensors.h"
#include "kernels/dispatch.h"
#include "train/trainer_testing.h"

namespace fathom {
namespace {

using testing_support::get_file;
using testing_support::put_file;
using trainer_testing::entries;
using trainer_testing::SmallRun;
using trainer_testing::TempFolder;

constexpr RunInputs kNoInputs;

RunInputs inputs_of(uint64_t model, uint64_t a, uint64_t b) {
  return {.model = model, .sources = {{"shards/a", a}, {"shards/b", b}}};
}

// The small run, stopped.
void stop_after(const TempFolder& folder, int steps, const RunInputs& inputs = kNoInputs) {
  SmallRun run(folder);
  run.hooks.inputs = inputs;
  run.stop_after = steps;
  const Status status = run.train(false);
  ASSERT_EQ(status.ok() ? ErrorCode::kInvalid : status.error().code, ErrorCode::kInterrupted);
}

std::string resume_error(const TempFolder& folder, const RunInputs& inputs = kNoInputs) {
  SmallRun run(folder);
  run.hooks.inputs = inputs;
  const Status status = run.train(true);
  EXPECT_EQ(run.losses.size(), status.ok() ? 30u - 9u : 0u);
  return status.ok() ? "" : status.error().message;
}

std::string state_path(const TempFolder& folder, int step) {
  return folder / str_cat("run/checkpoints/step-0000000", step, "/trainer_state.safetensors");
}

// As earlier versions wrote it: only the first fields, and no checksum.
void make_old(const std::string& path, bool spoiled) {
  const std::string bytes = get_file(path);
  const auto file =
      parse_safetensors(std::as_bytes(std::span(bytes.data(), bytes.size())), path).value();
  std::string text;
  for (const auto& [key, value] : file.metadata) text = key == "run_state" ? value : text;
  Json state = parse_json(text).value();
  for (const char* later : {"model", "sources", "isa", "skipped"}) state.erase(later);
  std::vector<TensorSpec> specs;
  for (const NamedTensor& t : file.tensors)
    specs.push_back({t.name, t.tensor.dtype, t.tensor.shape});
  auto writer = SafetensorsWriter::create(path, specs, true, {{"run_state", state.dump()}});
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    const auto* data = static_cast<const char*>(file.tensors[i].tensor.data);
    std::string content(data, static_cast<size_t>(file.tensors[i].tensor.bytes()));
    if (spoiled && file.tensors[i].name == "master.table")
      content.replace(8, 4, "\xff\xff\xff\xff");
    ASSERT_TRUE(writer->write(i, std::as_bytes(std::span(content))).ok());
  }
  ASSERT_TRUE(writer->finish().ok());
}

TEST(RunState, AChangedByteIsFoundAndTheCheckpointBeforeGoesOn) {
  TempFolder whole_folder;
  SmallRun whole(whole_folder);
  ASSERT_TRUE(whole.train(false).ok());
  TempFolder folder;
  stop_after(folder, 9);
  const std::string path = state_path(folder, 9);
  const std::string bytes = get_file(path);
  // The lowest bit of a float is a finite change; of the header's text, digits of the position.
  for (const size_t at :
       {bytes.find("stage_sequences") + 18, bytes.size() / 3, bytes.size() / 2, bytes.size() - 4}) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    put_file(path, changed);
    const std::string error = resume_error(folder);
    EXPECT_NE(error.find(path + " is damaged"), std::string::npos) << at << ": " << error;
    EXPECT_NE(error.find("to go on from step 7, remove " + folder.path()), std::string::npos)
        << error;
    EXPECT_EQ(entries(folder / "run/checkpoints").size(), 2u);
  }
  std::filesystem::remove_all(folder / "run/checkpoints/step-00000009");
  SmallRun again(folder);
  ASSERT_TRUE(again.train(true).ok());
  EXPECT_TRUE(again.same_weights(whole));
}

TEST(RunState, TheOnlyCheckpointDamagedIsSaidToBeThat) {
  TempFolder folder;
  stop_after(folder, 2);
  put_file(state_path(folder, 2), "half");
  SmallRun run(folder);
  const Status status = run.train(true);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("begin the run again"), std::string::npos)
      << status.error().message;
}

TEST(RunState, StatesOfEarlierVersionsGoOnIfTheyAreFinite) {
  TempFolder whole_folder;
  SmallRun whole(whole_folder);
  ASSERT_TRUE(whole.train(false).ok());
  TempFolder folder;
  stop_after(folder, 9);
  const std::string bytes = get_file(state_path(folder, 9));
  make_old(state_path(folder, 9), /*spoiled=*/true);
  EXPECT_NE(resume_error(folder).find("is damaged: table is not finite"), std::string::npos);
  put_file(state_path(folder, 9), bytes);
  make_old(state_path(folder, 9), /*spoiled=*/false);
  SmallRun again(folder);
  again.hooks.inputs = inputs_of(1, 2, 3);
  ASSERT_TRUE(again.train(true).ok());
  EXPECT_TRUE(again.same_weights(whole));
}

TEST(RunState, OtherInputsAreNotContinued) {
  TempFolder folder;
  stop_after(folder, 9, inputs_of(1, 2, 3));
  EXPECT_EQ(resume_error(folder, inputs_of(1, 2, 4)),
            "shards/b holds other shards than when the run began; put those back, or start a new "
            "run with model.init");
  EXPECT_NE(resume_error(folder, inputs_of(5, 2, 3)).find("config.json is not what the run wrote"),
            std::string::npos);
  EXPECT_EQ(resume_error(folder, inputs_of(1, 2, 3)), "");
}

TEST(RunState, AnotherInstructionSetIsSaid) {
  const std::vector<Isa> isas = available_isas();
  if (isas.size() < 2) GTEST_SKIP() << "this machine has one instruction set";
  TempFolder folder;
  stop_after(folder, 9);
  SmallRun other(folder);
  other.isa = isas.back() == Isa::kRef ? isas.front() : isas.back();
  other.stop_after = 2;
  ASSERT_FALSE(other.train(true).ok());
  ASSERT_EQ(other.notes.size(), 1u);
  EXPECT_NE(other.notes[0].find("computed with ref"), std::string::npos) << other.notes[0];
  SmallRun same(folder);
  same.isa = other.isa;
  ASSERT_TRUE(same.train(true).ok());
  EXPECT_TRUE(same.notes.empty());
  const std::string log = get_file(folder / "run/log.jsonl");
  const auto isa_in_line = [&log](int step) {
    const size_t begin = log.find(str_cat("{\"step\":", step, ","));
    const std::string line = log.substr(begin, log.find('\n', begin) - begin);
    const Json json = parse_json(line).value();
    return json.find("isa") == nullptr ? "" : json.find("isa")->as_string();
  };
  EXPECT_EQ(isa_in_line(1), "ref");
  EXPECT_EQ(isa_in_line(2), "");
  EXPECT_EQ(isa_in_line(10), isa_name(other.isa));
  EXPECT_EQ(isa_in_line(12), "");
}

}  // namespace
}  // namespace fathom
