// Goal: a model folder that is broken (files missing, of the wrong kind, endless, of two downloads)
// is answered by one sentence that names the file. Method: a good random checkpoint, whole or in
// two shards, one thing broken, read by `inspect` and by `score`.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/support/broken_checkpoint.h"
#include "tests/support/subprocess.h"

namespace fathom::test {
namespace {

namespace fs = std::filesystem;

const std::string index = "{}/" + kIndex;
Break without(const std::string& name) {
  return [=](const TempDir& folder) { fs::remove(folder.file(name)); };
}

const Break good = bytes([](std::string&) {});

// Something else in the place of the file of weights.
Break in_place_of_weights(std::function<void(const std::string& path)> make) {
  return in_order({good, without(kOne), [=](const TempDir& folder) { make(folder.file(kOne)); }});
}

const std::vector<Fault> kFolderFaults = {
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
     sharded(nothing,
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

std::vector<Fault> all_faults() {
  std::vector<Fault> faults;
  for (const Fault& fault : kFolderFaults) add_for_each(faults, fault, kReaders, kScored);
  return faults;
}

class FolderFault : public FaultTest {};
TEST_P(FolderFault, IsAnsweredByOneSentence) { expect_one_sentence(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Faults, FolderFault, ::testing::ValuesIn(all_faults()), fault_name);

}  // namespace
}  // namespace fathom::test
