// The GGUF format of llama.cpp, versions 2 and 3, little-endian: metadata as typed keys and values,
// a list of tensors, then their data from an aligned offset on. The reader looks at bytes that
// someone else holds (a mapped file) and copies no data; the writer takes data in pieces.
//
// Every count, length, extent and offset of a file is checked before it is used: what is counted
// must fit into the bytes that are left, data must lie inside the file, aligned, and not overlap.
// Not here: what keys and names mean (model/gguf_*.h, tokenizer/tokenizer_gguf.cc), files in
// several parts (io/gguf_parts.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/files.h"
#include "io/safetensors.h"
#include "tensor/tensor.h"

namespace fathom {

inline constexpr int64_t kGgufAlignment = 32;  // where a file does not say another
inline constexpr int64_t kGgufAlignmentMax = int64_t{1} << 20;
inline constexpr int64_t kGgufRankMax = 4;
inline constexpr size_t kGgufKeyBytesMax = 65535;

enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// A value, or an array of values of one type; points into the file's bytes. The getters give
// nothing where the type is another or i is beyond size().
class GgufValue {
 public:
  GgufType type() const { return type_; }  // of the value, or of the elements
  bool is_array() const { return is_array_; }
  int64_t size() const { return size_; }  // 1, or elements

  std::optional<int64_t> integer(int64_t i = 0) const;  // any integer type, if it fits
  std::optional<double> number(int64_t i = 0) const;    // a float, or an integer
  std::optional<bool> boolean(int64_t i = 0) const;
  std::optional<std::string_view> string(int64_t i = 0) const;

 private:
  friend class GgufParser;
  GgufType type_ = GgufType::kU8;
  bool is_array_ = false;
  int64_t size_ = 1;
  const std::byte* data_ = nullptr;        // of fixed-size types, unaligned
  std::vector<std::string_view> strings_;  // of kString
};

using GgufMetadata = std::vector<std::pair<std::string_view, GgufValue>>;
// Null if there is no such key.
const GgufValue* find_gguf_value(const GgufMetadata& metadata, std::string_view key);

struct GgufFile {
  uint32_t version = 0;
  GgufMetadata metadata;             // in the file's order
  std::vector<NamedTensor> tensors;  // in the file's order; shapes outermost first
};

// display_name is how messages call the file. Values and tensors point into bytes. Refused by name:
// tensors of types without a Dtype, big-endian files, version 1, arrays of arrays.
Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, const std::string& display_name);

// Whether the bytes begin as a GGUF file does.
bool is_gguf(std::span<const std::byte> bytes);
// "F32, F16, ...": the types that run, for messages.
std::string gguf_types_that_run();

// Metadata on its way into a file. Keys in the order they are added, each once.
class GgufMetadataBuilder {
 public:
  void add_u16(std::string_view key, uint16_t value);
  void add_u32(std::string_view key, uint32_t value);
  void add_i32(std::string_view key, int32_t value);
  void add_f32(std::string_view key, float value);
  void add_bool(std::string_view key, bool value);
  void add_string(std::string_view key, std::string_view value);
  void add_strings(std::string_view key, const std::vector<std::string>& values);
  void add_i32s(std::string_view key, std::span<const int32_t> values);

  int64_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }

 private:
  void add_key(std::string_view key, GgufType type);
  std::string bytes_;
  int64_t count_ = 0;
};

// As SafetensorsWriter: create with all tensors, write() each from its beginning to its end,
// finish(). Version 3, data in the order of the list, each at a multiple of kGgufAlignment.
class GgufWriter {
 public:
  static Result<GgufWriter> create(const std::string& path, const GgufMetadataBuilder& metadata,
                                   std::vector<TensorSpec> tensors, bool force);
  // The next bytes of tensors[index].
  Status write(size_t index, std::span<const std::byte> bytes);
  Status finish();
  int64_t bytes() const { return bytes_; }  // of the whole file

 private:
  struct Place {
    int64_t begin = 0;
    int64_t size = 0;
    int64_t written = 0;
  };
  GgufWriter(AtomicFile file, std::vector<TensorSpec> tensors, std::vector<Place> places,
             int64_t bytes)
      : file_(std::move(file)),
        tensors_(std::move(tensors)),
        places_(std::move(places)),
        bytes_(bytes) {}

  AtomicFile file_;
  std::vector<TensorSpec> tensors_;
  std::vector<Place> places_;
  int64_t bytes_ = 0;
};

}  // namespace fathom
