// Goal: no broken file of weights brings the program down or is taken for a good one; each is
// answered by one sentence. Method: a good random checkpoint of every mechanism, one thing broken,
// read by `inspect` and by `score` (which runs it).
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "io/json.h"
#include "tests/support/faults.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/subprocess.h"
#include "tests/support/tiny_model.h"

namespace fathom::test {
namespace {

using namespace testing_support;
namespace fs = std::filesystem;

const std::string kOne = "model.safetensors";
const std::string kIndex = "model.safetensors.index.json";
const std::string kFirst = "model-00001-of-000002.safetensors";
const std::string kSecond = "model-00002-of-000002.safetensors";
const std::vector<std::vector<std::string>> kReaders = {{"inspect", "{}"},
                                                        {"score", "--model", "{}"}};
constexpr std::string_view kScored = "{\"ids\": [0, 5, 9]}\n";

TinyTensors tensors_of(std::string_view config) {
  const auto parsed = parse_model_config(config, "config.json");
  FATHOM_CHECK(parsed.ok(), config);
  return tiny_tensors(*parsed, Dtype::kBF16, 7);
}

void put_model(const TempDir& folder, std::string_view config, const TinyTensors& tensors) {
  folder.write("config.json", config);
  write_tensors(folder.file(kOne), tensors);
}

// A checkpoint in which one tensor, or the list of them, is not what it should be.
Break tensors(std::function<void(TinyTensors&)> change, std::string_view config = kTinyConfig) {
  return [=](const TempDir& folder) {
    TinyTensors all = tensors_of(config);
    change(all);
    put_model(folder, config, all);
  };
}

// The bytes of the file of weights changed.
Break bytes(std::function<void(std::string&)> change) {
  return [=](const TempDir& folder) {
    put_model(folder, kTinyConfig, tensors_of(kTinyConfig));
    std::string file = read_file(folder.file(kOne));
    change(file);
    folder.write(kOne, file);
  };
}

// The text of the header changed, its length with it.
Break header(std::function<void(std::string&)> change) {
  return bytes([=](std::string& file) {
    size_t length = 0;
    for (size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(file[i]);
    std::string text = file.substr(8, length);
    change(text);
    file = safetensors_bytes(padded(text), std::string_view(file).substr(8 + length));
  });
}

void replace_first(std::string& text, const std::string& what, const std::string& with) {
  const size_t at = text.find(what);
  FATHOM_CHECK(at != std::string::npos, what);
  text.replace(at, what.size(), with);
}

// One entry of the header changed.
Break entry(const std::string& tensor, std::function<void(Json&)> change) {
  return header([=](std::string& text) {
    Json json = parse_json(text).value();
    Json found = *json.find(tensor);
    change(found);
    json.set(tensor, std::move(found));
    text = json.dump();
  });
}

Json extents(std::vector<int64_t> values) {
  Json json = Json::array();
  for (const int64_t value : values) json.push_back(value);
  return json;
}

// Two shards, the first of the first ten tensors, with an index that is changed.
Break sharded(std::function<void(Json& index)> change,
              std::function<void(const TempDir&)> then = {}) {
  return [=](const TempDir& folder) {
    folder.write("config.json", kTinyConfig);
    const TinyTensors all = tensors_of(kTinyConfig);
    const auto middle = all.begin() + 10;
    write_tensors(folder.file(kFirst), TinyTensors(all.begin(), middle));
    write_tensors(folder.file(kSecond), TinyTensors(middle, all.end()));
    Json map = Json::object();
    int64_t total = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      map.set(all[i].spec.name, i < 10 ? kFirst : kSecond);
      total += static_cast<int64_t>(all[i].bytes.size());
    }
    Json metadata = Json::object();
    metadata.set("total_size", total);
    Json index = Json::object();
    index.set("metadata", std::move(metadata));
    index.set("weight_map", std::move(map));
    change(index);
    folder.write(kIndex, index.dump());
    if (then) then(folder);
  };
}

Break index_entry(const std::string& tensor, const Json& file) {
  return sharded([=](Json& index) {
    Json map = *index.find("weight_map");
    map.set(tensor, file);
    index.set("weight_map", std::move(map));
  });
}

void nothing(Json&) {}

const std::string kEmbed = "model.embed_tokens.weight";
const std::string kNorm = "model.norm.weight";
const std::string kGate = "model.layers.1.mlp.gate.weight";
const std::string kDown = "model.layers.0.mlp.down_proj.weight";

std::vector<Fault> header_faults() {
  const std::string path = "{}/" + kOne;
  return {
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
}

std::vector<Fault> tensor_faults() {
  const std::string path = "{}/" + kOne;
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
  return {
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
}

std::vector<Fault> folder_faults() {
  const std::string index = "{}/" + kIndex;
  const auto without = [](const std::string& name) {
    return [=](const TempDir& folder) { fs::remove(folder.file(name)); };
  };
  const auto good = bytes([](std::string&) {});
  const auto in_place_of_weights = [=](std::function<void(const std::string& path)> make) {
    return in_order({good, without(kOne), [=](const TempDir& folder) { make(folder.file(kOne)); }});
  };
  return {
      {"FolderIsEmpty", {}, {}, {"{}/config.json"}},
      {"FolderHasNoWeights", in_order({good, without(kOne)}), {}, {"{}", "no *.safetensors"}},
      {"TwoFilesOfWeightsAndNoIndex",
       in_order({sharded(nothing), without(kIndex)}),
       {},
       {"{}", "2 *.safetensors"}},
      {"IndexIsNoJson",
       in_order({sharded(nothing), put(kIndex, "{\"weight_map\": ")}),
       {},
       {index, "JSON"}},
      {"IndexIsEmpty", in_order({sharded(nothing), put(kIndex, "")}), {}, {index, "JSON"}},
      {"IndexWithoutAMap",
       in_order({sharded(nothing), put(kIndex, "{}")}),
       {},
       {kIndex, "weight_map"}},
      {"IndexNamesNothing",
       in_order({sharded(nothing), put(kIndex, "{\"weight_map\": {}}")}),
       {},
       {index, "empty"}},
      {"IndexNamesANumber", index_entry(kEmbed, 7), {}, {index, kEmbed, "an integer"}},
      {"IndexNamesAMissingShard",
       in_order({sharded(nothing), without(kSecond)}),
       {},
       {kIndex, "{}/" + kSecond, "does not exist"}},
      {"IndexNamesAFileAbove",
       index_entry(kEmbed, "../" + kFirst),
       {},
       {index, kEmbed, "../" + kFirst}},
      {"IndexNamesAFileByItsPath",
       index_entry(kEmbed, "/etc/passwd"),
       {},
       {index, kEmbed, "/etc/passwd"}},
      {"IndexPutsATensorIntoAnotherShard",
       index_entry(kEmbed, kSecond),
       {},
       {kEmbed, kFirst, kSecond}},
      {"IndexNamesATensorThatNoShardHas",
       index_entry("model.layers.9.weight", kFirst),
       {},
       {"model.layers.9.weight", kFirst}},
      {"IndexLeavesATensorOut",
       sharded([](Json& json) {
         Json map = *json.find("weight_map");
         map.as_object().erase(map.as_object().begin());
         json.set("weight_map", map);
       }),
       {},
       {kEmbed, kIndex}},
      {"IndexOfAnotherSize",
       sharded([](Json& json) {
         Json metadata = Json::object();
         metadata.set("total_size", 12345);
         json.set("metadata", metadata);
       }),
       {},
       {index, "12345"}},
      {"ShardIsTheOtherShard",
       sharded(
           nothing,
           [](const TempDir& folder) { folder.write(kSecond, read_file(folder.file(kFirst))); }),
       {},
       {kSecond}},
      {"ShardCutInTheMiddle",
       sharded(nothing, [](const TempDir& folder) { fs::resize_file(folder.file(kSecond), 3000); }),
       {},
       {"{}/" + kSecond}},
      {"WeightsAreAFolder",
       in_place_of_weights([](const std::string& path) { fs::create_directory(path); }),
       {},
       {"{}/" + kOne, "directory"}},
      {"WeightsAreAPipe",
       in_place_of_weights(
           [](const std::string& path) { ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0); }),
       {},
       {"{}/" + kOne, "a pipe"}},
      {"WeightsAreADevice",
       in_place_of_weights([](const std::string& path) { fs::create_symlink("/dev/zero", path); }),
       {},
       {"{}/" + kOne, "a device"}},
      {"WeightsAreALinkToNowhere",
       in_place_of_weights([](const std::string& path) { fs::create_symlink("nowhere", path); }),
       {},
       {"{}"}},
      {"WeightsAreALoopOfLinks",
       in_place_of_weights([](const std::string& path) { fs::create_symlink(kOne, path); }),
       {},
       {"{}"}},
      {"WeightsAreAHugeFileOfHoles",
       in_place_of_weights([](const std::string& path) {
         std::ofstream(path).put('\0');
         fs::resize_file(path, uintmax_t{1} << 42);
       }),
       {},
       {"{}/" + kOne, "length is 0"}},
      {"ConfigIsAPipe",
       in_order({good, without("config.json"),
                 [](const TempDir& folder) {
                   ASSERT_EQ(::mkfifo(folder.file("config.json").c_str(), 0600), 0);
                 }}),
       {},
       {"{}/config.json", "a pipe"}},
      {"ConfigIsHuge",
       in_order({good,
                 [](const TempDir& folder) {
                   fs::resize_file(folder.file("config.json"), uintmax_t{1} << 40);
                 }}),
       {},
       {"{}/config.json", "bytes"}},
  };
}

std::vector<Fault> all_faults() {
  std::vector<Fault> faults;
  for (const auto& group : {header_faults(), tensor_faults(), folder_faults()}) {
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
