// Goal: a good file gives its tensors where they lie; each way of breaking one is an error that
// names file, tensor and numbers. Method: files put together by hand; the writer's files read back.
#include "io/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/safetensors_bytes.h"
#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::get_file;
using testing_support::padded;
using testing_support::safetensors_bytes;
using testing_support::TempFolder;

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// "" if it parses.
std::string error_of(const std::string& file) {
  const auto parsed = parse_safetensors(as_bytes(file), "x.safetensors");
  return parsed.ok() ? std::string() : parsed.error().message;
}
std::string error_of_header(const std::string& header, size_t data_bytes) {
  return error_of(safetensors_bytes(padded(header), std::string(data_bytes, '\1')));
}

TEST(Safetensors, ReadsTensorsWhereTheyLie) {
  const std::string file = safetensors_bytes(
      padded(
          R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[16,19]},)"
          R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"none":{"dtype":"BF16","shape":[0,4],"data_offsets":[16,16]},)"
          R"("s":{"dtype":"U8","shape":[],"data_offsets":[19,20]}})"),
      std::string(20, '\0'));
  const auto parsed = parse_safetensors(as_bytes(file), "x");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  ASSERT_EQ(parsed->tensors.size(), 4u);
  EXPECT_EQ(parsed->tensors[0].name, "a");
  EXPECT_EQ(parsed->tensors[0].tensor.shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(parsed->tensors[0].tensor.data, file.data() + file.size() - 20);
  EXPECT_EQ(parsed->tensors[1].name, "none");
  EXPECT_EQ(parsed->tensors[2].tensor.dtype, Dtype::kF8E4M3);
  EXPECT_EQ(parsed->metadata.front().second, "pt");
}

TEST(Safetensors, BrokenPrefixOrHeader) {
  const std::string good =
      safetensors_bytes(padded(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})"), "abcd");
  ASSERT_EQ(error_of(good), "");
  EXPECT_NE(error_of("").find("too few"), std::string::npos);
  EXPECT_NE(error_of("abc").find("x.safetensors: 3 bytes are too few"), std::string::npos);
  EXPECT_NE(error_of(safetensors_bytes("{}", "", 0)).find("length is 0"), std::string::npos);
  EXPECT_NE(error_of(safetensors_bytes("{}", "", INT64_MAX)).find("length is 9223372036854775807"),
            std::string::npos);
  EXPECT_NE(error_of(std::string(8, '\xff') + "{}").find("length is 18446744073709551615"),
            std::string::npos);
  EXPECT_NE(error_of(safetensors_bytes("{}", "", 1000)).find("download complete"),
            std::string::npos);
  EXPECT_NE(error_of(safetensors_bytes("{\"a\":", "")).find("not valid JSON"), std::string::npos);
  EXPECT_NE(error_of(safetensors_bytes("[1]", "")).find("expected an object"), std::string::npos);
  EXPECT_NE(error_of(good.substr(0, good.size() - 1)).find("download complete"), std::string::npos);
  EXPECT_NE(error_of(good + "e").find("describes 4 bytes of data, the file has 5"),
            std::string::npos);
  EXPECT_NE(error_of(safetensors_bytes(std::string(1000, '['), "")).find("nested deeper"),
            std::string::npos);
  EXPECT_NE(error_of(safetensors_bytes(R"({"__metadata__":{"a":1}})", "")).find("__metadata__ a"),
            std::string::npos);
  EXPECT_NE(
      error_of(safetensors_bytes(R"({"__metadata__":7})", "")).find("__metadata__ is an integer"),
      std::string::npos);
}

TEST(Safetensors, BrokenEntries) {
  struct Case {
    const char* header;
    size_t data_bytes;
    const char* expected;
  };
  const Case cases[] = {
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})", 4,
       "tensor a: data_offsets [4, 0]"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[-4,0]}})", 4, "negative or reversed"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
       6, "tensor b: its data begin at 2, inside those of the tensor before it, which end at 4"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[6,10]}})",
       10, "no holes"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})", 6,
       "tensor a: its data begin at 2"},
      {R"({"a":{"dtype":"U8","shape":[40],"data_offsets":[0,40]}})", 4, "but the file has"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 4, "describes 2 bytes"},
      {R"({})", 4, "describes 0 bytes"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0,
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", 4,
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
       "takes 8 bytes, data_offsets give it 4"},
      {R"({"a":{"dtype":"F4","shape":[4],"data_offsets":[0,4]}})", 4,
       "tensor a: the dtype \"F4\" is not known"},
      {R"({"a":{"shape":[4],"data_offsets":[0,4]}})", 4, "\"dtype\" is missing"},
      {R"({"a":{"dtype":7,"shape":[4],"data_offsets":[0,4]}})", 4,
       "\"dtype\" is missing or no string"},
      {R"({"a":{"dtype":"U8","data_offsets":[0,4]}})", 4, "\"shape\" is missing"},
      {R"({"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})", 4, "no size"},
      {R"({"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}})", 4, "no size"},
      {R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,4]}})", 4,
       "9 dimensions"},
      {R"({"a":{"dtype":"U8","shape":[4]}})", 4, "\"data_offsets\" is missing"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,4]}})", 4, "not two integers"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,18446744073709551615]}})", 4,
       "not two integers"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
       8, "the key \"a\" stands twice"},
      {R"({"a\u0000b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4,
       "\"a\\u0000b\" is no name"},
      {R"({"../a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4, "is no name"},
      {R"({"":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4, "is no name"},
      {R"({"a":[]})", 0, "is an array, expected an object"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
       5, "not aligned for F32"},
  };
  for (const Case& c : cases) {
    const std::string error = error_of_header(c.header, c.data_bytes);
    EXPECT_NE(error.find(c.expected), std::string::npos) << c.header << "\n  gave: " << error;
    EXPECT_EQ(error.find("x.safetensors"), 0u) << error;
  }
}

TEST(SafetensorsWriter, WritesInPiecesAndReadsBack) {
  TempFolder folder;
  const std::string path = folder / "out.safetensors";
  {
    auto writer = SafetensorsWriter::create(
        path, {{"q", Dtype::kF8E4M3, {3}}, {"w", Dtype::kF32, {2, 2}}, {"e", Dtype::kI64, {0}}},
        false);
    ASSERT_TRUE(writer.ok()) << writer.error().message;
    const float w[4] = {1, 2, 3, 4};
    const auto bytes = std::as_bytes(std::span(w));
    ASSERT_TRUE(writer->write(1, bytes.first(5)).ok());
    ASSERT_TRUE(writer->write(0, std::as_bytes(std::span("abc", 3))).ok());
    ASSERT_TRUE(writer->write(1, bytes.subspan(5)).ok());
    EXPECT_FALSE(path_exists(path));
    ASSERT_TRUE(writer->finish().ok());
    EXPECT_EQ(writer->bytes(), static_cast<int64_t>(get_file(path).size()));
  }
  const std::string file = get_file(path);
  const auto parsed = parse_safetensors(as_bytes(file), "out");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  ASSERT_EQ(parsed->tensors.size(), 3u);
  EXPECT_EQ((file.size() - 19) % 64, 0u);
  for (const NamedTensor& t : parsed->tensors) {
    if (t.name == "w") {
      EXPECT_EQ(t.tensor.as<float>()[3], 4.0f);
    }
    if (t.name == "q") {
      EXPECT_EQ(std::memcmp(t.tensor.data, "abc", 3), 0);
    }
  }
  EXPECT_EQ(parsed->metadata.at(0).second, "pt");
}

TEST(SafetensorsWriter, LeavesNothingWhenNotFinishedAndKeepsWhatExists) {
  TempFolder folder;
  const std::string path = folder / "out.safetensors";
  { ASSERT_TRUE(SafetensorsWriter::create(path, {{"a", Dtype::kU8, {4}}}, false).ok()); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  testing_support::put_file(path, "old");
  const auto refused = SafetensorsWriter::create(path, {}, false);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("--force"), std::string::npos);
  EXPECT_EQ(get_file(path), "old");
}

}  // namespace
}  // namespace fathom
