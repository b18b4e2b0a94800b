// Goal: no broken file of weights brings the program down or is taken for a good one; each is
// answered by one sentence. Method: a good random checkpoint of every mechanism, one thing broken,
// read by `inspect` and by `score` (which runs it).
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "tests/support/broken_checkpoint.h"
#include "tests/support/subprocess.h"

namespace fathom::test {
namespace {

const std::string path = "{}/" + kOne;

const std::vector<Fault> kHeaderFaults = {
    {"FileOfNoBytes", bytes([](std::string& file) { file.clear(); }), {}, {path, "0 bytes"}},
    {"FileOfSevenBytes", bytes([](std::string& file) { file.resize(7); }), {}, {path, "7 bytes"}},
    {"HeaderOfNoBytes",
     bytes([](std::string& file) { file = std::string(64, '\0'); }),
     {},
     {path, "length is 0"}},
    {"HeaderLongerThanAnything",
     bytes([](std::string& file) { file.replace(0, 8, 8, '\xff'); }),
     {},
     {path, "length"}},
    {"HeaderOfTwoTo63",
     bytes([](std::string& file) { file.replace(0, 8, std::string(7, '\0') + '\x80'); }),
     {},
     {path, "length"}},
    {"HeaderBeyondTheFile",
     bytes([](std::string& file) { file[2] = '\x7f'; }),
     {},
     {path, "download complete"}},
    {"HeaderIsNoJson",
     header([](std::string& text) { text[1] = '}'; }),
     {},
     {path, "header", "JSON"}},
    {"HeaderIsAnArray",
     header([](std::string& text) { text = "[1, 2]"; }),
     {},
     {path, "expected an object"}},
    {"HeaderNestedDeep",
     header([](std::string& text) { text = std::string(100000, '['); }),
     {},
     {path, "JSON"}},
    {"HeaderIsNotUtf8",
     header([](std::string& text) { replace_first(text, "embed", "\xff\xfe\xfd__"); }),
     {},
     {path, "JSON"}},
    {"TensorNamedTwice",
     header([](std::string& text) { replace_first(text, kNorm, kEmbed); }),
     {},
     {path, kEmbed}},
    {"TensorNameWithASlash",
     header([](std::string& text) { replace_first(text, kNorm, "model/norm.weight"); }),
     {},
     {path, "model/norm", "name"}},
    {"TensorNameWithANul",
     header([](std::string& text) { replace_first(text, kNorm, "model.norm\\u0000x"); }),
     {},
     {path, "name"}},
    {"TensorNameIsEmpty",
     header([](std::string& text) { replace_first(text, kNorm, ""); }),
     {},
     {path, "name"}},
    {"EntryIsANumber",
     header([](std::string& text) { replace_first(text, "{", "{\"x\": 3, "); }),
     {},
     {path, "x", "expected an object"}},
    {"UnknownDtype",
     entry(kNorm, [](Json& json) { json.set("dtype", "Q7"); }),
     {},
     {path, kNorm, "Q7"}},
    {"DtypeMissing", entry(kNorm, [](Json& json) { json = Json::object(); }), {}, {path, kNorm}},
    {"ShapeMissing",
     entry(kNorm, [](Json& json) { json.set("shape", nullptr); }),
     {},
     {path, kNorm, "shape"}},
    {"ShapeNegative",
     entry(kNorm, [](Json& json) { json.set("shape", extents({-24})); }),
     {},
     {path, kNorm, "-24"}},
    {"ShapeWithAFraction",
     entry(kNorm, [](Json& json) { json.set("shape", Json(Json::Array{Json(24.5)})); }),
     {},
     {path, kNorm, "24.5"}},
    {"ShapeOverflows",
     entry(kNorm,
           [](Json& json) {
             json.set("shape", extents({int64_t{1} << 40, int64_t{1} << 40}));
           }),
     {},
     {path, kNorm, "overflow"}},
    {"ShapeOfTooManyDimensions",
     entry(kNorm, [](Json& json) { json.set("shape", extents(std::vector<int64_t>(1000, 1))); }),
     {},
     {path, kNorm, "1000"}},
    {"SizeIsNotThatOfTheShape",
     entry(kNorm, [](Json& json) { json.set("shape", extents({23})); }),
     {},
     {path, kNorm, "46", "48"}},
    {"OffsetsReversed",
     entry(kNorm,
           [](Json& json) {
             json.set("data_offsets", extents({48, 0}));
           }),
     {},
     {path, kNorm, "reversed"}},
    {"OffsetsNegative",
     entry(kNorm,
           [](Json& json) {
             json.set("data_offsets", extents({-48, 0}));
           }),
     {},
     {path, kNorm, "-48"}},
    {"OffsetsAreTexts",
     entry(kNorm, [](Json& json) { json.set("data_offsets", "0, 48"); }),
     {},
     {path, kNorm, "data_offsets"}},
    {"DataOverlap",
     entry(kNorm,
           [](Json& json) {
             json.set("data_offsets", extents({0, 48}));
           }),
     {},
     {path, "inside"}},
    {"DataPastTheEnd",
     entry(kNorm,
           [](Json& json) {
             json.set("data_offsets", extents({int64_t{1} << 50, (int64_t{1} << 50) + 48}));
           }),
     {},
     {path}},
    {"BytesThatNoTensorHas",
     bytes([](std::string& file) { file += "12345678"; }),
     {},
     {path, "bytes"}},
    {"FileCutByOneByte",
     bytes([](std::string& file) { file.pop_back(); }),
     {},
     {path, "download complete"}},
    {"MetadataIsAList",
     header([](std::string& text) { replace_first(text, "{\"format\":\"pt\"}", "[]"); }),
     {},
     {path, "__metadata__"}},
};

const auto drop = [](const std::string& name) {
  return tensors([=](TinyTensors& all) {
    std::erase_if(all, [&](const TinyTensor& tensor) { return tensor.spec.name == name; });
  });
};
const auto reshape = [](const std::string& name, Dtype dtype, std::vector<int64_t> shape) {
  return tensors([=](TinyTensors& all) {
    TinyTensor& tensor = tensor_named(all, name);
    int64_t size = dtype_size(dtype);
    for (const int64_t extent : shape) size *= extent;
    tensor.spec.dtype = dtype;
    tensor.spec.shape = shape;
    tensor.bytes.resize(static_cast<size_t>(size), '\x01');
  });
};
const auto scale = [](float value) {
  return tensors(
      [=](TinyTensors& all) {
        std::string& bytes = tensor_named(all, kDown + "_scale_inv").bytes;
        std::memcpy(bytes.data(), &value, sizeof value);
      },
      kTinyFp8Config);
};
const float infinite = std::numeric_limits<float>::infinity();
const std::string scales = kDown + "_scale_inv";

const std::vector<Fault> kTensorFaults = {
    {"TensorMissing", drop(kEmbed), {}, {kEmbed, "[32, 24]", "missing", "{}"}},
    {"RouterBiasMissing",
     drop("model.layers.1.mlp.gate.e_score_correction_bias"),
     {},
     {"e_score_correction_bias", "missing"}},
    {"OneTensorOfTheMtpModuleMissing",
     drop("model.layers.2.eh_proj.weight"),
     {},
     {"model.layers.2.eh_proj.weight", "missing"}},
    {"TensorThatNoConfigAsksFor",
     tensors([](TinyTensors& all) {
       all.push_back({{"model.layers.0.extra.weight", Dtype::kBF16, {4}}, std::string(8, '\0')});
     }),
     {},
     {"model.layers.0.extra.weight", path}},
    {"TensorOfAnotherShape",
     reshape(kGate, Dtype::kBF16, {5, 24}),
     {},
     {path, kGate, "[4, 24]", "[5, 24]"}},
    {"TensorTransposed",
     reshape(kEmbed, Dtype::kBF16, {24, 32}),
     {},
     {path, kEmbed, "[32, 24]", "[24, 32]"}},
    {"VocabularyOfAnotherSize",
     reshape(kEmbed, Dtype::kBF16, {31, 24}),
     {},
     {path, kEmbed, "[32, 24]", "[31, 24]"}},
    {"TensorOfIntegers", reshape(kEmbed, Dtype::kI64, {32, 24}), {}, {path, kEmbed, "I64"}},
    {"Fp8WithoutAQuantizationConfig",
     reshape(kDown, Dtype::kF8E4M3, {24, 40}),
     {},
     {path, kDown, "F8_E4M3"}},
    {"NormThatIsNan",
     tensors([](TinyTensors& all) { tensor_named(all, kNorm).bytes.replace(0, 2, "\xc0\x7f"); }),
     {},
     {path, kNorm, "element 0", "nan"}},
    {"ScaleNan",
     scale(std::numeric_limits<float>::quiet_NaN()),
     {},
     {path, scales, "[0, 0]", "nan"}},
    {"ScaleInfinite", scale(infinite), {}, {path, scales, "[0, 0]", "inf"}},
    {"ScaleZero", scale(0), {}, {path, scales, "[0, 0]", "is 0"}},
    {"ScaleNegative", scale(-1), {}, {path, scales, "[0, 0]", "-1"}},
    {"ScaleSubnormal",
     scale(std::numeric_limits<float>::denorm_min()),
     {},
     {path, scales, "[0, 0]"}},
    {"ScalesOfAnotherGrid",
     tensors(
         [](TinyTensors& all) {
           TinyTensor& tensor = tensor_named(all, kDown + "_scale_inv");
           tensor.spec.shape = {1, 1};
           tensor.bytes.resize(4);
         },
         kTinyFp8Config),
     {},
     {path, scales, "[2, 1]", "[1, 1]"}},
    {"ScalesMissing",
     tensors(
         [](TinyTensors& all) {
           std::erase_if(all, [](const TinyTensor& tensor) {
             return tensor.spec.name == kDown + "_scale_inv";
           });
         },
         kTinyFp8Config),
     {},
     {scales, "missing"}},
    {"Bf16WhereFp8IsPromised",
     tensors(
         [](TinyTensors& all) {
           TinyTensor& tensor = tensor_named(all, kDown);
           tensor.spec.dtype = Dtype::kBF16;
           tensor.bytes.resize(tensor.bytes.size() * 2, '\x01');
         },
         kTinyFp8Config),
     {},
     {path, kDown, "BF16", "F8_E4M3"}},
};

std::vector<Fault> all_faults() {
  std::vector<Fault> faults;
  for (const auto& group : {kHeaderFaults, kTensorFaults}) {
    for (const Fault& fault : group) add_for_each(faults, fault, kReaders, kScored);
  }
  faults.push_back({"Fp8CodeThatIsNan",
                    tensors([](TinyTensors& all) { tensor_named(all, kDown).bytes[41] = '\x7f'; },
                            kTinyFp8Config),
                    {"inspect", "{}", "--verify"},
                    {"{}/" + kOne, kDown, "[1, 1]", "NaN"}});
  return faults;
}

class CheckpointFault : public FaultTest {};
TEST_P(CheckpointFault, IsAnsweredByOneSentence) { expect_one_sentence(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Faults, CheckpointFault, ::testing::ValuesIn(all_faults()), fault_name);

// What is broken above is good before.
TEST(FaultCheckpoints, AreGoodUnlessBroken) {
  for (const Break& good :
       {bytes([](std::string&) {}), header([](std::string&) {}), sharded(nothing),
        tensors([](TinyTensors&) {}), tensors([](TinyTensors&) {}, kTinyFp8Config)}) {
    TempDir folder;
    good(folder);
    const RunResult inspected = run_fathom({"inspect", folder.path(), "--verify"});
    EXPECT_EQ(inspected.exit_code, 0) << inspected.err;
    const RunResult scored =
        run_fathom({"score", "--model", folder.path()}, {.input = std::string(kScored)});
    EXPECT_EQ(scored.exit_code, 0) << scored.err;
  }
}

}  // namespace
}  // namespace fathom::test
