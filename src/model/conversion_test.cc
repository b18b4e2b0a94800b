// Goal: a plan is carried out tensor by tensor in whatever pieces its sources give, can be stopped
// and goes on, and what went wrong in a source leaves nothing behind. Method: plans with sources
// written here.
#include "model/conversion.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "model/convert_cast.h"
#include "model/convert_shards.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace fathom {
namespace {

using testing_support::get_file;
using testing_support::put_file;
using testing_support::TempFolder;

ModelFiles folder(const std::string& path) { return *ModelFiles::open_folder(path); }

// n bytes of one value, a few at a time.
OutputTensor filled(const std::string& name, char value, int64_t n, int64_t piece) {
  return {{name, Dtype::kU8, {n}}, [=](TensorSink& sink) -> Status {
            for (int64_t done = 0; done < n; done += piece) {
              const std::string bytes(static_cast<size_t>(std::min(piece, n - done)), value);
              FATHOM_RETURN_IF_ERROR(sink.write(std::as_bytes(std::span(bytes))));
            }
            return {};
          }};
}

ConversionPlan plan_of_three() {
  ConversionPlan plan;
  plan.what = "three files";
  for (const char* name : {"a.safetensors", "b.safetensors", "c.safetensors"}) {
    plan.files.push_back({name,
                          {filled(std::string("x") + name[0], name[0], 1000, 300),
                           filled("e" + std::string(name), 'e', 0, 1)}});
  }
  plan.index = true;
  plan.texts = {{"config.json", "{}"}};
  return plan;
}

TEST(Conversion, WritesFilesIndexAndTexts) {
  TempFolder in;
  TempFolder out;
  put_file(in / "tokenizer.json", "t");
  ConversionPlan plan = plan_of_three();
  plan.copies = {"tokenizer.json"};
  const auto result =
      run_conversion(plan, folder(in.path()), out / "o", {.verify = true, .go_on = nullptr});
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->n_files, 3);
  EXPECT_EQ(result->n_files_before, 0);
  EXPECT_EQ(result->bytes, 3000);
  const auto checkpoint = Checkpoint::open(folder(out / "o"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(std::string(checkpoint->find("xb")->as<char>(), 1000), std::string(1000, 'b'));
  EXPECT_EQ(get_file(out / "o/config.json"), "{}");
  EXPECT_EQ(get_file(out / "o/tokenizer.json"), "t");
}

TEST(Conversion, StopsWhenToldAndGoesOn) {
  TempFolder in;
  TempFolder out;
  const ConversionPlan plan = plan_of_three();
  ConversionOptions options;
  options.go_on = [](int64_t done) { return done < 1500; };
  const auto stopped = run_conversion(plan, folder(in.path()), out / "o", options);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
  EXPECT_TRUE(std::filesystem::exists(out / "o/a.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(out / "o/b.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(out / "o/config.json"));
  options.go_on = nullptr;
  const auto result = run_conversion(plan, folder(in.path()), out / "o", options);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->n_files_before, 1);
}

// A folder is never a mixture of two models: what was there goes before the first file is replaced.
TEST(Conversion, ForceRemovesTheEarlierModelFirst) {
  TempFolder in;
  TempFolder out;
  const std::vector<std::string> old = {"config.json",
                                        "model.safetensors.index.json",
                                        "quantization.json",
                                        "model.safetensors",
                                        "model-00002-of-000163.safetensors",
                                        "model3-mp8.safetensors",
                                        "model-2.safetensors",
                                        "notes.txt"};
  for (const std::string& name : old) put_file(out / name, "old");
  ConversionPlan plan = plan_of_three();
  ConversionOptions options;
  options.force = true;
  options.go_on = [](int64_t done) { return done < 1500; };
  ASSERT_FALSE(run_conversion(plan, folder(in.path()), out.path(), options).ok());
  for (const std::string& name : old) {
    const bool of_others = name == "notes.txt" || name == "model-2.safetensors";
    EXPECT_EQ(std::filesystem::exists(out / name), of_others) << name;
  }
  // What was begun with --force goes on without.
  options.force = false;
  options.go_on = nullptr;
  const auto result = run_conversion(plan, folder(in.path()), out.path(), options);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->n_files_before, 1);
  EXPECT_TRUE(Checkpoint::open(folder(out.path())).ok());
}

TEST(Conversion, AnOutputThatIsAnInputIsRefusedBeforeAnythingIsTouched) {
  TempFolder in;
  TempFolder out;
  put_file(in / "a.safetensors", "weights");
  put_file(out / "config.json", "old");
  std::filesystem::create_symlink(in / "a.safetensors", out / "b.safetensors");
  ConversionOptions options;
  options.force = true;
  const auto result = run_conversion(plan_of_three(), folder(in.path()), out.path(), options);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().message.find("is the input file"), std::string::npos);
  EXPECT_EQ(get_file(in / "a.safetensors"), "weights");
  EXPECT_EQ(get_file(out / "config.json"), "old");
  EXPECT_FALSE(std::filesystem::exists(out / ".fathom-conversion"));
}

TEST(Conversion, AFileBesideOthersThatWasStoppedLeavesNothing) {
  TempFolder in;
  TempFolder out;
  put_file(out / "notes.txt", "mine");
  ConversionPlan plan;
  plan.what = "one file";
  plan.beside = true;
  plan.files.push_back({"m.gguf", {filled("x", 'x', 1000, 300)}});
  ConversionOptions options;
  options.go_on = [](int64_t done) { return done < 500; };
  const auto stopped = run_conversion(plan, folder(in.path()), out / "m.gguf", options);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
  EXPECT_EQ(*folder(out.path()).list(), std::vector<std::string>{"notes.txt"});
  // So another command may write under that name.
  plan.what = "another file";
  options.go_on = nullptr;
  ASSERT_TRUE(run_conversion(plan, folder(in.path()), out / "m.gguf", options).ok());
  EXPECT_EQ(*folder(out.path()).list(), (std::vector<std::string>{"m.gguf", "notes.txt"}));
}

TEST(Conversion, ChangedInputIsNotContinued) {
  TempFolder in;
  TempFolder out;
  ConversionPlan plan = plan_of_three();
  plan.inputs = {"model.safetensors, 10 bytes, 1.5"};
  ConversionOptions options;
  options.go_on = [](int64_t done) { return done < 1500; };
  EXPECT_FALSE(run_conversion(plan, folder(in.path()), out / "o", options).ok());
  options.go_on = nullptr;
  plan.inputs = {"model.safetensors, 10 bytes, 2.5"};
  const auto refused = run_conversion(plan, folder(in.path()), out / "o", options);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("--force"), std::string::npos);
  options.force = true;
  EXPECT_TRUE(run_conversion(plan, folder(in.path()), out / "o", options).ok());
}

TEST(Conversion, AnErrorOfASourceLeavesNoFile) {
  TempFolder in;
  TempFolder out;
  ConversionPlan plan = plan_of_three();
  plan.files[1].tensors[0].source = [](TensorSink&) -> Status {
    return invalid_error("tensor xb is bad");
  };
  const auto result = run_conversion(plan, folder(in.path()), out / "o", {});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message, "tensor xb is bad");
  EXPECT_FALSE(std::filesystem::exists(out / "o/b.safetensors"));
}

TEST(Conversion, WeightsOfOtherKindsAndTheirChecksumsAreNotCopied) {
  TempFolder in;
  for (const char* name :
       {"tokenizer.json", "LICENSE", "model.bin", "x.gguf", ".hidden", "SHA256SUMS",
        "model.safetensors.index.json", "model.safetensors", "config.json"}) {
    put_file(in / name, "x");
  }
  const auto names = files_to_copy(folder(in.path()), {"config.json"});
  ASSERT_TRUE(names.ok());
  EXPECT_EQ(*names, (std::vector<std::string>{"LICENSE", "tokenizer.json"}));
}

// A row of the output is all that must fit.
TEST(Conversion, PlansNeedLittleScratch) {
  TempFolder in;
  const ModelConfig config = *parse_model_config(testing_support::kTinyFp8Config, "config.json");
  testing_support::write_tiny_model(in, testing_support::kTinyFp8Config,
                                    testing_support::tiny_tensors(config, Dtype::kBF16, 1));
  const auto checkpoint = std::make_shared<const Checkpoint>(*Checkpoint::open(folder(in.path())));
  const auto cast = plan_cast_to_bf16(config, checkpoint);
  ASSERT_TRUE(cast.ok()) << cast.error().message;
  EXPECT_EQ(cast->scratch_bytes_min, 136 * 2);
  const auto shards = plan_reshard(config, checkpoint, 1'000'000'000);
  ASSERT_TRUE(shards.ok());
  EXPECT_EQ(shards->scratch_bytes_min, 0);
  EXPECT_EQ(shards->total_bytes(), checkpoint->total_bytes());
  EXPECT_FALSE(plan_model_parallel(config, checkpoint, 3).ok());
}

}  // namespace
}  // namespace fathom
