// The safetensors format: 8 bytes little-endian length N, N bytes of JSON header, then the data of
// all tensors without holes. The reader looks at bytes that someone else holds (a mapped file) and
// copies no data; the writer takes data in pieces, so that a file may be far larger than memory.
//
// Every size and offset in a header is checked before it is used: data of tensors must lie inside
// the file, cover it wholly, not overlap, fit shape and dtype, and be aligned for its elements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/files.h"
#include "tensor/tensor.h"

namespace fathom {

inline constexpr int64_t kSafetensorsHeaderBytesMax = 100'000'000;  // as the format's own library
inline constexpr int64_t kTensorRankMax = 8;

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

struct SafetensorsFile {
  std::vector<NamedTensor> tensors;  // in the order of their data
  std::vector<std::pair<std::string, std::string>> metadata;

  // Null if there is none of that name: linear, for files of few tensors.
  const Tensor* find(std::string_view name) const;
};

// display_name is how messages call the file. The tensors point into bytes.
Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes,
                                          const std::string& display_name);

struct TensorSpec {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
};

// The tensor as a file of this format holds it: a packed matrix is an array of bytes
// (packed_shape()), everything else what it is.
TensorSpec stored_spec(TensorSpec spec);

// Usage: create with all tensors, write() each from its beginning to its end in pieces of any size
// (the tensors themselves in any order), finish(). Nothing but complete files ever has the final
// name.
class SafetensorsWriter {
 public:
  // The data begin at a multiple of 64. Tensors of a whole number of 64 bytes come first, so that
  // these all do (vector and tile loads are faster then); the rest by falling element size, so that
  // all are aligned for their elements. Block types as stored_spec() has them.
  static Result<SafetensorsWriter> create(
      const std::string& path, std::vector<TensorSpec> tensors, bool force,
      const std::vector<std::pair<std::string, std::string>>& metadata = {{"format", "pt"}});

  // The next bytes of tensors[index], as given to create().
  Status write(size_t index, std::span<const std::byte> bytes);
  // Checks that every tensor is complete, and gives the file its name.
  Status finish();

  int64_t bytes() const { return bytes_; }  // of the whole file

 private:
  struct Place {
    int64_t begin = 0;  // in the file
    int64_t size = 0;
    int64_t written = 0;
  };
  SafetensorsWriter(AtomicFile file, std::vector<TensorSpec> tensors, std::vector<Place> places,
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
