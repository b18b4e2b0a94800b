// Goal: a folder and an embedded model answer alike, and no name reaches outside either.
#include "io/model_files.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::put_file;
using testing_support::TempFolder;

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

void expect_a_model(const ModelFiles& files) {
  EXPECT_TRUE(files.exists("config.json"));
  EXPECT_FALSE(files.exists("none"));
  EXPECT_EQ(files.open("config.json")->text(), "{}");
  EXPECT_EQ(*files.list(), (std::vector<std::string>{"config.json", "empty"}));
  EXPECT_TRUE(files.open("empty")->text().empty());
  EXPECT_FALSE(files.open("none").ok());
  EXPECT_HAS(files.open_small("config.json", 1).error().message, "has 2 bytes, at most 1");
  for (const std::string& name :
       {std::string("../config.json"), std::string(".."), std::string("."), std::string(),
        std::string("a/b"), std::string("a\0", 2)}) {
    EXPECT_FALSE(files.exists(name));
    EXPECT_HAS(files.open(name).error().message, "is no name of a file");
  }
}

TEST(ModelFiles, Folder) {
  TempFolder folder;
  put_file(folder / "config.json", "{}");
  put_file(folder / "empty", "");
  std::filesystem::create_directory(folder / "sub");
  std::filesystem::create_symlink("nowhere", folder / "dangling");
  const auto files = ModelFiles::open_folder(folder.path());
  ASSERT_TRUE(files.ok()) << files.error().message;
  expect_a_model(*files);
  EXPECT_EQ(files->path_of("config.json"), folder / "config.json");
  EXPECT_HAS(ModelFiles::open_folder(folder / "none").error().message, "No such file");
  EXPECT_HAS(ModelFiles::open_folder(folder / "config.json").error().message, "is no folder");
  EXPECT_FALSE(ModelFiles::open_folder("").ok());
}

TEST(ModelFiles, Embedded) {
  EXPECT_FALSE(ModelFiles::has_embedded());
  EXPECT_HAS(ModelFiles::embedded().error().message, "built without an embedded model");
  const std::string config = "{}";
  const EmbeddedFile list[] = {{"empty", {}}, {"config.json", std::as_bytes(std::span(config))}};
  register_embedded_model(list);
  expect_a_model(*ModelFiles::embedded());
  EXPECT_EQ(ModelFiles::embedded()->path_of("config.json"), "config.json of the embedded model");
  register_embedded_model({});
}

}  // namespace
}  // namespace fathom
