// Goal: `fathom gradients` gives losses and gradients as its contract says. Method: its loss is the
// mean of what `fathom score` says of the same ids; every trainable tensor has a gradient; faults
// are one sentence.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "io/json.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_folder.h"

namespace fathom::test {
namespace {

using testing_support::put_file;
using testing_support::TempFolder;

const std::string kModel = std::string(FATHOM_TESTDATA) + "/training/curve-full";

void write_tokens(const std::string& path, const std::vector<int64_t>& ids,
                  const std::vector<int64_t>& shape, const std::string& name = "tokens") {
  auto writer = SafetensorsWriter::create(path, {{name, Dtype::kI64, shape}}, /*force=*/true);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->write(0, std::as_bytes(std::span(ids))).ok());
  ASSERT_TRUE(writer->finish().ok());
}

std::vector<int64_t> some_ids(int64_t n) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back((i * i * 5 + 3 * i + 1) % 50);
  return ids;
}

TEST(GradientsCommand, LossIsTheScoresMeanAndEveryTensorHasAGradient) {
  TempFolder folder;
  const std::vector<int64_t> ids = some_ids(2 * 20);
  write_tokens(folder / "tokens.safetensors", ids, {2, 20});
  const RunResult made =
      run_fathom({"gradients", kModel, folder / "tokens.safetensors", "--output",
                  folder / "g.safetensors", "--mtp-lambda", "0.3", "--balance-alpha", "0.001"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const MappedFile map = MappedFile::open(folder / "g.safetensors").value();
  const SafetensorsFile file = parse_safetensors(map.bytes(), "g").value();
  const auto find = [&file](const std::string& name) { return file.find(name); };
  std::string lines;
  for (size_t s = 0; s < 2; ++s) {
    Json list = Json::array();
    for (size_t i = 0; i < 20; ++i) list.push_back(ids[s * 20 + i]);
    Json line = Json::object();
    line.set("ids", std::move(list));
    lines += line.dump() + "\n";
  }
  const RunResult score = run_fathom(
      {"score", "--model", kModel, "--attention", "naive", "--summary"}, {.input = lines});
  ASSERT_EQ(score.exit_code, 0) << score.err;
  const double nll = parse_json(score.out).value().find("nll")->as_double();
  const double main = static_cast<double>(*find("loss_main")->as<float>());
  EXPECT_NEAR(main, nll / 38, 1e-6 * main);
  const double loss = static_cast<double>(*find("loss")->as<float>());
  EXPECT_NEAR(loss,
              main + 0.3 * static_cast<double>(*find("loss_mtp")->as<float>()) +
                  static_cast<double>(*find("loss_balance")->as<float>()),
              1e-5);
  const MappedFile weights_map = MappedFile::open(kModel + "/model.safetensors").value();
  const SafetensorsFile weights = parse_safetensors(weights_map.bytes(), "w").value();
  for (const NamedTensor& entry : weights.tensors) {
    const bool copy =
        entry.name.ends_with("embed_tokens.weight") && entry.name != "model.embed_tokens.weight";
    if (copy || entry.name.ends_with("shared_head.head.weight") ||
        entry.name.ends_with("e_score_correction_bias"))
      continue;
    const Tensor* gradient = find("grad." + entry.name);
    ASSERT_NE(gradient, nullptr) << entry.name;
    EXPECT_EQ(gradient->shape, entry.tensor.shape) << entry.name;
    const std::span<const float> values(gradient->as<float>(),
                                        static_cast<size_t>(gradient->elements()));
    EXPECT_TRUE(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }))
        << entry.name;
  }
}

void expect_sentence(const std::vector<std::string>& arguments, const std::string& what) {
  const RunResult result = run_fathom(arguments);
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.err.find(what), std::string::npos) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

TEST(GradientsCommand, WhatIsWrongIsOneSentence) {
  TempFolder folder;
  const auto arguments = [&](const std::string& tokens) {
    return std::vector<std::string>{"gradients", kModel, folder / tokens, "--output",
                                    folder / "out.safetensors"};
  };
  write_tokens(folder / "other", some_ids(4), {2, 2}, "ids");
  expect_sentence(arguments("other"), "no tensor \"tokens\"");
  write_tokens(folder / "flat", some_ids(4), {4});
  expect_sentence(arguments("flat"), "is not I64 [n, t + 1]");
  write_tokens(folder / "one", some_ids(2), {2, 1});
  expect_sentence(arguments("one"), "is not I64 [n, t + 1]");
  write_tokens(folder / "high", {1, 2, 1'000'000, 3}, {2, 2});
  expect_sentence(arguments("high"), "beyond the vocabulary");
  write_tokens(folder / "negative", {1, 2, -1, 3}, {2, 2});
  expect_sentence(arguments("negative"), "beyond the vocabulary");
  write_tokens(folder / "long", some_ids(100'000), {1, 100'000});
  expect_sentence(arguments("long"), "max_position_embeddings");
  expect_sentence(arguments("none"), "none");
  put_file(folder / "out.safetensors", "x");
  write_tokens(folder / "fine", some_ids(4), {2, 2});
  expect_sentence(arguments("fine"), "--force");
}

}  // namespace
}  // namespace fathom::test
