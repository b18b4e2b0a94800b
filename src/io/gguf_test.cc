// Goal: a good file gives its values and tensors where they lie; each way of breaking one is an
// error that names file, key or tensor and numbers. Method: files put together by hand, byte by
// byte; the writer's files read back.
#include "io/gguf.h"

#include <gtest/gtest.h>

#include <cstring>

#include "io/gguf_parts.h"
#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::get_file;
using testing_support::put_file;
using testing_support::TempFolder;

// Little-endian, as the format has it.
template <typename T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
std::string text(std::string_view s) { return raw(uint64_t{s.size()}) + std::string(s); }
std::string header(uint64_t n_tensors, uint64_t n_values, uint32_t version = 3) {
  return "GGUF" + raw(version) + raw(n_tensors) + raw(n_values);
}
std::string entry(std::string_view key, uint32_t type, const std::string& value) {
  return text(key) + raw(type) + value;
}
std::string info(std::string_view name, const std::vector<uint64_t>& extents, uint32_t type,
                 uint64_t offset) {
  std::string out = text(name) + raw(static_cast<uint32_t>(extents.size()));
  for (const uint64_t extent : extents) out += raw(extent);
  return out + raw(type) + raw(offset);
}
std::string with_data(std::string head, size_t data_bytes, size_t alignment = 32) {
  head.resize((head.size() + alignment - 1) / alignment * alignment, '\0');
  return head + std::string(data_bytes, '\1');
}

std::span<const std::byte> as_bytes(const std::string& file) {
  return std::as_bytes(std::span(file));
}
std::string error_of(const std::string& file) {
  const auto parsed = parse_gguf(as_bytes(file), "x.gguf");
  return parsed.ok() ? std::string() : parsed.error().message;
}

TEST(Gguf, ReadsEveryTypeOfValue) {
  const std::string file =
      header(0, 14) + entry("u8", 0, raw(uint8_t{200})) + entry("i8", 1, raw(int8_t{-3})) +
      entry("u16", 2, raw(uint16_t{60000})) + entry("i16", 3, raw(int16_t{-300})) +
      entry("u32", 4, raw(uint32_t{4000000000})) + entry("i32", 5, raw(int32_t{-70000})) +
      entry("f32", 6, raw(0.5f)) + entry("bool", 7, raw(uint8_t{1})) +
      entry("string", 8, text("a text")) + entry("u64", 10, raw(~uint64_t{0})) +
      entry("i64", 11, raw(int64_t{-5'000'000'000})) + entry("f64", 12, raw(0.25)) +
      entry("list", 9, raw(uint32_t{5}) + raw(uint64_t{2}) + raw(int32_t{7}) + raw(int32_t{-8})) +
      entry("texts", 9, raw(uint32_t{8}) + raw(uint64_t{2}) + text("one") + text(""));
  const auto parsed = parse_gguf(as_bytes(file), "x");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const auto value = [&](std::string_view key) {
    const GgufValue* found = find_gguf_value(parsed->metadata, key);
    EXPECT_NE(found, nullptr) << key;
    return *found;
  };
  EXPECT_EQ(value("u8").integer(), 200);
  EXPECT_EQ(value("i8").integer(), -3);
  EXPECT_EQ(value("u16").integer(), 60000);
  EXPECT_EQ(value("i16").integer(), -300);
  EXPECT_EQ(value("u32").integer(), 4000000000);
  EXPECT_EQ(value("i32").integer(), -70000);
  EXPECT_EQ(value("f32").number(), 0.5);
  EXPECT_EQ(value("f32").integer(), std::nullopt);
  EXPECT_EQ(value("bool").boolean(), true);
  EXPECT_EQ(value("string").string(), "a text");
  EXPECT_EQ(value("string").string(1), std::nullopt);
  EXPECT_EQ(value("u64").integer(), std::nullopt) << "beyond int64";
  EXPECT_EQ(value("i64").integer(), -5'000'000'000);
  EXPECT_EQ(value("f64").number(), 0.25);
  EXPECT_TRUE(value("list").is_array());
  EXPECT_EQ(value("list").integer(1), -8);
  EXPECT_EQ(value("list").integer(2), std::nullopt);
  EXPECT_EQ(value("texts").size(), 2);
  EXPECT_EQ(value("texts").string(0), "one");
  EXPECT_EQ(value("texts").string(1), "");
  EXPECT_EQ(find_gguf_value(parsed->metadata, "other"), nullptr);
}

TEST(Gguf, ReadsTensorsWhereTheyLie) {
  const std::string file = with_data(header(3, 0, 2) + info("a", {3, 2}, 0, 64) +
                                         info("b", {32}, 8, 0) + info("c", {5, 1, 2}, 30, 96),
                                     96 + 20);
  const auto parsed = parse_gguf(as_bytes(file), "x");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(parsed->version, 2u);
  ASSERT_EQ(parsed->tensors.size(), 3u);
  const char* const data = file.data() + file.size() - 116;
  EXPECT_EQ(parsed->tensors[0].tensor.shape, (std::vector<int64_t>{2, 3})) << "outermost first";
  EXPECT_EQ(parsed->tensors[0].tensor.data, data + 64);
  EXPECT_EQ(parsed->tensors[1].tensor.dtype, Dtype::kQ8_0);
  EXPECT_EQ(parsed->tensors[1].tensor.bytes(), 34);
  EXPECT_EQ(parsed->tensors[2].tensor.dtype, Dtype::kBF16);
  EXPECT_EQ(parsed->tensors[2].tensor.shape, (std::vector<int64_t>{2, 1, 5}));
}

TEST(Gguf, HonoursTheAlignment) {
  const std::string head = header(1, 1) + entry("general.alignment", 4, raw(uint32_t{128}));
  EXPECT_EQ(error_of(with_data(head + info("a", {4}, 0, 0), 16, 128)), "");
  EXPECT_NE(error_of(with_data(head + info("a", {4}, 0, 64), 80, 128))
                .find("a: its data begin at 64, which is no multiple of the file's alignment 128"),
            std::string::npos);
}

TEST(Gguf, BrokenFiles) {
  const std::string one = header(1, 0);
  const auto value = [](const std::string& bytes) { return header(0, 1) + bytes; };
  const struct {
    std::string file, expected;
  } cases[] = {
      {"", "does not begin with \"GGUF\""},
      {"GGML" + std::string(40, '\0'), "does not begin with \"GGUF\""},
      {"GGUF\3", "ends at byte 5, inside its GGUF header"},
      {header(0, 0, 1), "is GGUF version 1, supported are 2 and 3"},
      {header(0, 0, 0x03000000), "big-endian"},
      {header(uint64_t{1} << 63, 0), "the header counts 9223372036854775808 tensors"},
      {header(0, uint64_t{1} << 63), "and 9223372036854775808 keys, more than 24 bytes can hold"},
      {header(0, 3) + std::string(20, '\0'), "and 3 keys, more than 44 bytes"},
      {value(text("k") + raw(uint32_t{13}) + raw(uint64_t{0})), "of type 13, which is not known"},
      {value(raw(~uint64_t{0}) + std::string(20, 'k')), "a text of 18446744073709551615 bytes"},
      {value(raw(uint64_t{40}) + std::string(20, 'k')), "a text of 40 bytes"},
      {value(entry("", 4, raw(uint32_t{1}))), "a metadata key has 0 bytes"},
      {value(entry("key", 12, raw(uint32_t{1}))), "inside key"},
      {value(entry("key", 8, raw(uint64_t{1} << 62))), "a text of 4611686018427387904 bytes"},
      {value(entry("key", 9, raw(uint32_t{9}) + raw(uint64_t{1}))), "an array of arrays"},
      {value(entry("key", 9, raw(uint32_t{77}) + raw(uint64_t{1}))), "of type 77"},
      {value(entry("key", 9, raw(uint32_t{4}) + raw(uint64_t{1} << 62))),
       "an array of 4611686018427387904 elements"},
      {value(entry("key", 9, raw(uint32_t{4}) + raw(uint64_t{2}) + raw(uint32_t{1}))),
       "an array of 2 elements"},
      {value(entry("key", 9, raw(uint32_t{8}) + raw(uint64_t{1} << 62))), "an array of"},
      {value(entry("key", 9, raw(uint32_t{4}))), "inside a metadata array"},
      {header(0, 2) + entry("key", 4, raw(uint32_t{1})) + entry("key", 4, raw(uint32_t{1})),
       "the metadata key key stands there twice"},
      {value(entry("general.alignment", 4, raw(uint32_t{0}))), "general.alignment is 0"},
      {value(entry("general.alignment", 4, raw(uint32_t{3}))), "general.alignment is 3"},
      {value(entry("general.alignment", 4, raw(uint32_t{1} << 31))), "from 8 to 1048576"},
      {value(entry("general.alignment", 8, text("32"))), "general.alignment is no integer"},
      {one + text("abcdef") + raw(uint32_t{1}) + raw(uint64_t{4}), "inside the list of tensors"},
      {one + info("", {4}, 0, 0), "is no name of a tensor"},
      {one + info("a\nb", {4}, 0, 0), "is no name of a tensor"},
      {one + info("a", {1, 1, 1, 1, 4}, 0, 0), "has 5 dimensions"},
      {one + info("a", {4, 0}, 0, 0), "dimension 1 is 0"},
      {one + info("a", {uint64_t{1} << 63}, 0, 0), "dimension 0 is 9223372036854775808"},
      {one + info("a", {uint64_t{1} << 40, uint64_t{1} << 40}, 0, 0), "overflows"},
      {one + info("a", {uint64_t{1} << 61}, 0, 0), "overflows"},
      {one + info("a", {256}, 16, 0),
       "a is IQ2_XXS, which does not run here; types that run are F32, F16, Q4_0"},
      {one + info("a", {256}, 10, 0), "a is Q2_K"},
      {one + info("a", {256}, 999, 0), "a is of type 999"},
      {one + info("a", {48}, 8, 0), "rows of 48 elements do not divide into blocks of 32 (Q8_0)"},
      {with_data(one + info("a", {4}, 0, 8), 32), "begin at 8, which is no multiple"},
      {with_data(one + info("a", {4}, 0, ~uint64_t{31}), 32), "begin at 18446744073709551584"},
      {with_data(one + info("a", {4}, 0, uint64_t{1} << 62), 32),
       "its 16 bytes of data begin at 4611686018427387904"},
      {with_data(one + info("a", {4}, 0, 0), 15), "which have 15 bytes"},
      {one + info("a", {4}, 0, 0), "is the download complete?"},
      {with_data(header(2, 0) + info("a", {4}, 0, 0) + info("a", {4}, 0, 32), 48),
       "the tensor a stands there twice"},
      {with_data(header(2, 0) + info("a", {16}, 0, 0) + info("b", {4}, 0, 32), 64),
       "tensor b: its data begin at 32, inside those of the tensor before it, which end at 64"},
  };
  for (const auto& c : cases) {
    const std::string error = error_of(c.file);
    EXPECT_NE(error.find(c.expected), std::string::npos)
        << "expected " << c.expected << "\ngot " << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    EXPECT_EQ(error.rfind("x.gguf", 0), 0u) << error;
  }
}

// Every prefix of a good file is an error or, beyond the last byte of data, the same file.
TEST(Gguf, CutAnywhere) {
  const std::string file = with_data(
      header(1, 2) + entry("a", 9, raw(uint32_t{8}) + raw(uint64_t{2}) + text("x") + text("y")) +
          entry("b", 6, raw(1.0f)) + info("t", {4}, 0, 0),
      16);
  ASSERT_EQ(error_of(file), "");
  for (size_t n = 0; n < file.size(); ++n) EXPECT_NE(error_of(file.substr(0, n)), "") << n;
}

TEST(GgufWriter, WritesWhatTheReaderReads) {
  const TempFolder folder;
  GgufMetadataBuilder metadata;
  metadata.add_string("general.architecture", "deepseek2");
  metadata.add_u16("u16", 7);
  metadata.add_u32("u32", 8);
  metadata.add_i32("i32", -9);
  metadata.add_f32("f32", 1.5f);
  metadata.add_bool("yes", true);
  metadata.add_strings("texts", {"a", "bc"});
  metadata.add_i32s("ids", std::vector<int32_t>{3, -4});
  auto writer = GgufWriter::create(
      folder / "m.gguf", metadata,
      {{"a", Dtype::kF32, {2, 3}}, {"b", Dtype::kQ8_0, {2, 32}}, {"c", Dtype::kBF16, {3}}}, false);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  const std::vector<float> a = {1, 2, 3, 4, 5, 6};
  const std::string b(68, 'b'), c(6, 'c');
  ASSERT_TRUE(writer->write(1, std::as_bytes(std::span(b)).first(30)).ok());
  ASSERT_TRUE(writer->write(2, std::as_bytes(std::span(c))).ok());
  ASSERT_TRUE(writer->write(0, std::as_bytes(std::span(a))).ok());
  ASSERT_TRUE(writer->write(1, std::as_bytes(std::span(b)).subspan(30)).ok());
  ASSERT_TRUE(writer->finish().ok());
  const std::string file = get_file(folder / "m.gguf");
  EXPECT_EQ(static_cast<int64_t>(file.size()), writer->bytes());
  EXPECT_EQ(file.size() % 32, 0u);

  const auto parsed = parse_gguf(as_bytes(file), "m.gguf");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(find_gguf_value(parsed->metadata, "u16")->integer(), 7);
  EXPECT_EQ(find_gguf_value(parsed->metadata, "i32")->integer(), -9);
  EXPECT_EQ(find_gguf_value(parsed->metadata, "f32")->number(), 1.5);
  EXPECT_EQ(find_gguf_value(parsed->metadata, "yes")->boolean(), true);
  EXPECT_EQ(find_gguf_value(parsed->metadata, "texts")->string(1), "bc");
  EXPECT_EQ(find_gguf_value(parsed->metadata, "ids")->integer(1), -4);
  ASSERT_EQ(parsed->tensors.size(), 3u);
  EXPECT_EQ(std::memcmp(parsed->tensors[0].tensor.data, a.data(), 24), 0);
  EXPECT_EQ(std::memcmp(parsed->tensors[1].tensor.data, b.data(), 68), 0);
  EXPECT_EQ(std::memcmp(parsed->tensors[2].tensor.data, c.data(), 6), 0);
  EXPECT_EQ(parsed->tensors[1].tensor.shape, (std::vector<int64_t>{2, 32}));
}

// --- parts ---

std::string part_bytes(uint16_t number, uint16_t count, int32_t n_tensors,
                       std::string_view tensor) {
  return with_data(header(1, 3) + entry("split.no", 2, raw(number)) +
                       entry("split.count", 2, raw(count)) +
                       entry("split.tensors.count", 5, raw(n_tensors)) + info(tensor, {4}, 0, 0),
                   16);
}
std::string error_of_parts(const TempFolder& folder, std::string_view name) {
  const auto opened = open_gguf(folder / name);
  return opened.ok() ? std::string() : opened.error().message;
}

TEST(GgufParts, OpensAllOfThem) {
  const TempFolder folder;
  put_file(folder / "m-00001-of-00002.gguf", part_bytes(0, 2, 2, "a"));
  put_file(folder / "m-00002-of-00002.gguf", part_bytes(1, 2, 2, "b"));
  const auto opened = open_gguf(folder / "m-00001-of-00002.gguf");
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  ASSERT_EQ(opened->tensors.size(), 2u);
  EXPECT_EQ(opened->tensors[1].name, "b");
  EXPECT_EQ(opened->shards[opened->tensors[1].shard].name, folder / "m-00002-of-00002.gguf");
  EXPECT_NE(error_of_parts(folder, "m-00002-of-00002.gguf").find("is part 2 of 2; name the first"),
            std::string::npos);
}

TEST(GgufParts, BrokenSets) {
  const TempFolder folder;
  put_file(folder / "m-00001-of-00002.gguf", part_bytes(0, 2, 2, "a"));
  EXPECT_NE(error_of_parts(folder, "m-00001-of-00002.gguf").find("m-00002-of-00002.gguf"),
            std::string::npos)
      << "the second is missing";
  put_file(folder / "m-00002-of-00002.gguf", part_bytes(1, 2, 2, "a"));
  EXPECT_NE(error_of_parts(folder, "m-00001-of-00002.gguf").find("tensor a stands in two parts"),
            std::string::npos);
  put_file(folder / "m-00002-of-00002.gguf", part_bytes(2, 3, 2, "b"));
  EXPECT_NE(error_of_parts(folder, "m-00001-of-00002.gguf").find("part 3 of 3, expected 2 of 2"),
            std::string::npos);
  put_file(folder / "m-00001-of-00002.gguf", part_bytes(0, 2, 5, "a"));
  put_file(folder / "m-00002-of-00002.gguf", part_bytes(1, 2, 5, "b"));
  EXPECT_NE(error_of_parts(folder, "m-00001-of-00002.gguf").find("split.tensors.count is 5"),
            std::string::npos);
  put_file(folder / "other.gguf", part_bytes(0, 2, 2, "a"));
  EXPECT_NE(error_of_parts(folder, "other.gguf").find("which its name does not say"),
            std::string::npos);
}

TEST(GgufParts, Names) {
  EXPECT_EQ(gguf_part_path("a/m.gguf", 0, 1), "a/m.gguf");
  EXPECT_EQ(gguf_part_path("a/m.gguf", 2, 12), "a/m-00003-of-00012.gguf");
}

}  // namespace
}  // namespace fathom
