// Goal: the model inside the program is the one in models/default, byte for byte, and loads.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>

#include "io/embedded_files.h"
#include "io/files.h"
#include "model/weights.h"

namespace fathom {
namespace {

TEST(EmbeddedModel, IsTheFolderAndLoads) {
  register_embedded_model(default_model_files());
  const auto files = ModelFiles::embedded();
  ASSERT_TRUE(files.ok()) << files.error().message;
  for (const EmbeddedFile& file : default_model_files()) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(file.bytes.data()) % 64, 0u) << file.name;
    const std::filesystem::path repository = std::filesystem::path(FATHOM_TESTDATA).parent_path();
    const auto on_disk = read_file((repository / "models/default" / file.name).string());
    ASSERT_TRUE(on_disk.ok()) << on_disk.error().message;
    EXPECT_TRUE(files->open(file.name)->text() == *on_disk) << file.name;
  }
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
    EXPECT_TRUE(files->exists(name)) << name;
  }
  const auto config =
      parse_model_config(files->open("config.json")->text(), files->path_of("config.json"));
  ASSERT_TRUE(config.ok()) << config.error().message;
  auto checkpoint = Checkpoint::open(*files);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  const auto weights =
      load_weights(*config, std::make_shared<const Checkpoint>(std::move(*checkpoint)));
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  EXPECT_EQ(weights->mtp.size(), 1u);
  EXPECT_TRUE(weights->notes.empty());
}

}  // namespace
}  // namespace fathom
