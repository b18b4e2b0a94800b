// Goal: TensorBoard reads what is written. Method: bytes that TensorBoard's own reader gave back as
// the values here, and the laws of the log.
#include "train/event_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::TempFolder;

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

std::string text_of(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

TEST(EventFile, BytesAreThoseTensorBoardReads) {
  EXPECT_EQ(hex(tf_record(version_event(1.5))),
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c");
  EXPECT_EQ(hex(session_start_event(2.0, 300)),
            "090000000000000040"
            "10ac02"
            "3a020801");
  EXPECT_EQ(hex(scalars_event(2.0, 1, {{"loss", 0.5}, {"lr", 2.0}})),
            "090000000000000040"
            "1001"
            "2a18"
            "0a0b0a046c6f7373150000003f"
            "0a090a026c721500000040");
}

TEST(EventFile, AppendsEvents) {
  TempFolder folder;
  {
    auto events = EventFile::create(folder.path(), 1000.25, 1);
    ASSERT_TRUE(events.ok()) << events.error().message;
    ASSERT_TRUE(events->append(1001.0, 1, {{"loss", 8.25}}).ok());
  }
  std::string name;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) name = entry.path();
  EXPECT_NE(name.find("events.out.tfevents.1000."), std::string::npos);
  EXPECT_EQ(text_of(name), tf_record(version_event(1000.25)) +
                               tf_record(session_start_event(1000.25, 1)) +
                               tf_record(scalars_event(1001.0, 1, {{"loss", 8.25}})));
}

TEST(RunLog, GoesOnWhereTheCheckpointStands) {
  TempFolder folder;
  const std::string path = folder / "log.jsonl";
  {
    auto log = RunLog::open(path, 0, 0);
    ASSERT_TRUE(log.ok());
    for (int64_t step : {1, 2, 3})
      ASSERT_TRUE(log->append(Json::Object{{"step", step}, {"loss", 0.5f}}).ok());
  }
  std::ofstream(path, std::ios::app) << "{\"step\":4,\"lo";  // killed here
  {
    auto log = RunLog::open(path, 2, 0);
    ASSERT_TRUE(log.ok());
    EXPECT_TRUE(log->had(2, "loss"));
    EXPECT_FALSE(log->had(2, "samples"));
    EXPECT_FALSE(log->had(1, "loss"));
    ASSERT_TRUE(log->append(Json::Object{{"step", int64_t{3}}}).ok());
  }
  EXPECT_EQ(text_of(path), "{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"loss\":0.5}\n{\"step\":3}\n");
  EXPECT_FALSE(RunLog::open(folder / "none/log.jsonl", 0, 0).ok());
}

// A line of a rollback stands behind the step it went back to.
TEST(RunLog, RollbacksStayUnlessTheyAreDoneAgain) {
  TempFolder folder;
  const std::string path = folder / "log.jsonl";
  const std::string before = "{\"step\":4,\"loss\":0.5}\n{\"step\":4,\"validation_loss\":0.5}\n";
  const std::string first = "{\"step\":4,\"rollback\":1}\n",
                    second = "{\"step\":4,\"rollback\":2}\n";
  for (const auto& [n_rollbacks, expected] :
       {std::pair{0, before}, {1, before + first}, {2, before + first + second}}) {
    testing_support::put_file(path, before + first + second + "{\"step\":5,\"loss\":0.5}\n");
    const auto log = RunLog::open(path, 4, n_rollbacks);
    ASSERT_TRUE(log.ok()) << log.error().message;
    EXPECT_TRUE(log->had(4, "validation_loss"));
    EXPECT_EQ(text_of(path), expected);
  }
}

// Method: a log of 5 GiB, nearly all of it a hole in the file, that nobody could read in time.
TEST(RunLog, ALongLogIsCutFromItsEnd) {
  TempFolder folder;
  const std::string path = folder / "log.jsonl";
  constexpr int64_t kHole = int64_t{5} << 30;
  testing_support::put_file(path, "");
  std::filesystem::resize_file(path, kHole);
  // A line longer than a block, on each side of the cut.
  const std::string loads(200'000, '7');
  const std::string kept =
      "\n{\"step\":1,\"loads\":\"" + loads + "\"}\n{\"step\":2,\"loads\":\"\"}\n";
  std::ofstream(path, std::ios::app) << kept << "{\"step\":3,\"loads\":\"" << loads << "\"}\n";
  auto log = RunLog::open(path, 2, 0);
  ASSERT_TRUE(log.ok()) << log.error().message;
  EXPECT_TRUE(log->had(2, "loads"));
  EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(path)),
            kHole + static_cast<int64_t>(kept.size()));
}

}  // namespace
}  // namespace fathom
