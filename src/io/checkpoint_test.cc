// Goal: index and files must agree in both directions, whatever is broken in either, and weights
// are found by the rule of docs/loading.md. Method: small checkpoints written here; every reference
// folder where they are.
#include "io/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "io/json.h"
#include "io/safetensors.h"
#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::get_file;
using testing_support::put_file;
using testing_support::TempFolder;

void write_shard(const std::string& path, const std::vector<std::string>& names) {
  std::vector<TensorSpec> specs;
  for (const std::string& name : names) specs.push_back({name, Dtype::kF32, {2}});
  auto writer = SafetensorsWriter::create(path, specs, true);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  const float data[2] = {1, 2};
  for (size_t i = 0; i < names.size(); ++i)
    ASSERT_TRUE(writer->write(i, std::as_bytes(std::span(data))).ok());
  ASSERT_TRUE(writer->finish().ok());
}

// Two shards: a, b in one.safetensors, c in two.safetensors.
class SmallCheckpoint {
 public:
  SmallCheckpoint() {
    write_shard(folder / "one.safetensors", {"a", "b"});
    write_shard(folder / "two.safetensors", {"c"});
    write_index(R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"})", "24");
  }
  void write_index(const std::string& map, const std::string& total) {
    put_file(folder / kIndexName,
             R"({"metadata":{"total_size":)" + total + R"(},"weight_map":)" + map + "}");
  }
  std::string error() const {
    const auto checkpoint = open();
    return checkpoint.ok() ? std::string() : checkpoint.error().message;
  }
  Result<Checkpoint> open() const {
    FATHOM_TRY(const ModelFiles files, ModelFiles::open_folder(folder.path()));
    return Checkpoint::open(files);
  }
  TempFolder folder;
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST(Checkpoint, JoinsTheShardsOfAnIndex) {
  SmallCheckpoint small;
  const auto checkpoint = small.open();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->tensors().size(), 3u);
  EXPECT_EQ(checkpoint->total_bytes(), 24);
  ASSERT_NE(checkpoint->find("c"), nullptr);
  EXPECT_EQ(checkpoint->find("c")->as<float>()[1], 2.0f);
  EXPECT_EQ(checkpoint->find("d"), nullptr);
  EXPECT_EQ(checkpoint->file_of("c"), small.folder / "two.safetensors");
}

TEST(Checkpoint, CopiesKeepTheMappingsAlive) {
  std::optional<Checkpoint> copy;
  {
    SmallCheckpoint small;
    copy = *small.open();
  }
  EXPECT_EQ(copy->find("a")->as<float>()[0], 1.0f);
}

TEST(Checkpoint, BrokenIndex) {
  SmallCheckpoint small;
  small.write_index(R"({"a":"one.safetensors","b":"one.safetensors","c":"three.safetensors"})",
                    "24");
  EXPECT_HAS(small.error(), "three.safetensors, which does not exist");
  small.write_index(R"({"a":"one.safetensors","b":"one.safetensors","c":"../two.safetensors"})",
                    "24");
  EXPECT_HAS(small.error(), "names \"../two.safetensors\", which is no plain name");
  small.write_index(R"({"a":"one.safetensors","b":"one.safetensors","c":".."})", "24");
  EXPECT_HAS(small.error(), "no plain name");
  small.write_index(R"({"a":"one.safetensors","b":"one.safetensors","c":"two..safetensors"})",
                    "24");
  EXPECT_HAS(small.error(), "no plain name");
  small.write_index(R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors\u0000"})",
                    "24");
  EXPECT_HAS(small.error(), "no plain name");
  small.write_index(
      R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors","d":"two.safetensors"})",
      "24");
  EXPECT_HAS(small.error(), "tensor d stands in");
  small.write_index(R"({"a":"one.safetensors","c":"two.safetensors"})", "24");
  EXPECT_HAS(small.error(), "holds the tensor b, which model.safetensors.index.json does not name");
  small.write_index(R"({"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"})", "24");
  EXPECT_HAS(small.error(), "tensor b stands in");
  small.write_index(R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"})", "25");
  EXPECT_HAS(small.error(), "total_size is 25, but the tensors have 24 bytes");
  small.write_index(R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"})",
                    "\"x\"");
  EXPECT_HAS(small.error(), "total_size is");
  small.write_index(R"({"a":1})", "24");
  EXPECT_HAS(small.error(), "weight_map a is an integer");
  small.write_index("{}", "24");
  EXPECT_HAS(small.error(), "\"weight_map\" is empty");
  small.write_index("[]", "24");
  EXPECT_HAS(small.error(), "\"weight_map\" is missing");
  put_file(small.folder / kIndexName, "{");
  EXPECT_HAS(small.error(), "not valid JSON");
}

TEST(Checkpoint, BrokenShards) {
  SmallCheckpoint small;
  write_shard(small.folder / "two.safetensors", {"c", "a"});
  EXPECT_HAS(small.error(), "tensor a stands in two files");
  const std::string whole = get_file(small.folder / "one.safetensors");
  write_shard(small.folder / "two.safetensors", {"c"});
  put_file(small.folder / "one.safetensors", whole.substr(0, whole.size() - 1));
  EXPECT_HAS(small.error(), "one.safetensors, tensor b");
  EXPECT_HAS(small.error(), "download complete");
  std::filesystem::remove(small.folder / "one.safetensors");
  ASSERT_EQ(::mkfifo((small.folder / "one.safetensors").c_str(), 0600), 0);
  EXPECT_HAS(small.error(), "is a pipe");
  std::filesystem::remove(small.folder / "one.safetensors");
  std::filesystem::create_directory(small.folder / "one.safetensors");
  EXPECT_HAS(small.error(), "is a directory");
  std::filesystem::remove(small.folder / "one.safetensors");
  std::filesystem::create_symlink("one.safetensors", small.folder / "one.safetensors");
  EXPECT_HAS(small.error(), "cannot open");
}

TEST(Checkpoint, WithoutAnIndexTheFilesDecide) {
  TempFolder folder;
  const auto files = ModelFiles::open_folder(folder.path());
  ASSERT_TRUE(files.ok());
  EXPECT_HAS(Checkpoint::open(*files).error().message, "holds no *.safetensors file");
  write_shard(folder / "only.safetensors", {"a"});
  EXPECT_TRUE(Checkpoint::open(*files)->find("a") != nullptr);
  write_shard(folder / "other.safetensors", {"b"});
  EXPECT_HAS(Checkpoint::open(*files).error().message, "holds 2 *.safetensors files");
  write_shard(folder / "blob", {"m"});
  std::filesystem::create_symlink("blob", folder / "model.safetensors");  // as in a hub's cache
  const auto checkpoint = Checkpoint::open(*files);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_TRUE(checkpoint->find("m") != nullptr && checkpoint->find("a") == nullptr);
}

TEST(Checkpoint, EveryReferenceFolderOpens) {
  namespace fs = std::filesystem;
  const fs::path root = fs::path(FATHOM_SHARED) / "reference" / "models";
  if (!fs::is_directory(root)) GTEST_SKIP() << "the full reference set is not in " << root;
  int count = 0;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (!entry.is_directory()) continue;
    TempFolder links;  // only the model: reference.safetensors lies in the same folder
    for (const auto& file : fs::directory_iterator(entry.path())) {
      const std::string name = file.path().filename().string();
      if (name.starts_with("model")) fs::create_symlink(fs::canonical(file.path()), links / name);
    }
    const auto checkpoint = Checkpoint::open(*ModelFiles::open_folder(links.path()));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
    EXPECT_NE(checkpoint->find("model.embed_tokens.weight"), nullptr);
    EXPECT_TRUE(Checkpoint::open(*ModelFiles::open_folder(entry.path().string())).ok());
    ++count;
  }
  EXPECT_GE(count, 10);
}

}  // namespace
}  // namespace fathom
