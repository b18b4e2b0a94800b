// Where a model's matrices lie in its files, and what they take when they are read into memory in
// whole blocks. Knows pointers into mapped files, not formats: any matrix of any dtype that is a
// piece of a file will do.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "io/block_reader.h"
#include "io/checkpoint.h"
#include "model/weights.h"

namespace fathom {

// A run of whole blocks of one file.
struct FileRun {
  int file = 0;  // of files()
  int64_t offset = 0;
  int64_t bytes = 0;  // up to the last byte that is wanted; memory is rounded up to blocks
  int64_t at = 0;     // where it goes in the memory of its group; a multiple of kReadAlignment
};

// Matrices that are read together. A matrix keeps its file's alignment: its address and its offset
// are equal modulo kReadAlignment.
struct MatrixGroup {
  std::vector<FileRun> runs;  // few: matrices that are neighbours in a file are one run
  std::vector<int64_t> at;    // of each matrix, in the order they were given
  int64_t bytes = 0;          // memory of all, a multiple of kReadAlignment
};

class WeightPlaces {
 public:
  explicit WeightPlaces(const Checkpoint& checkpoint);

  // None if a matrix lies in no file (an embedded model, weights made in memory). Matrices that
  // are the same bytes are read once.
  std::optional<MatrixGroup> place(const std::vector<const LinearWeight*>& matrices) const;
  // The mapped files of the checkpoint, in its order.
  const std::vector<const MappedFile*>& files() const { return files_; }
  bool in_file(const LinearWeight& matrix) const { return find(matrix).has_value(); }

 private:
  struct Place {
    int file = 0;
    int64_t begin = 0, end = 0;
  };
  std::optional<Place> find(const LinearWeight& matrix) const;

  struct Range {
    const std::byte* begin = nullptr;
    int64_t bytes = 0;
    int file = 0;
  };
  std::vector<const MappedFile*> files_;
  std::vector<Range> ranges_;  // of the mapped files, by address
};

// The matrices of one layer's routed experts, and of everything else but the embedding, of which
// only rows are looked up. Pointers into weights.
std::array<const LinearWeight*, 3> matrices_of(const MlpWeights& expert);
std::vector<LinearWeight*> dense_matrices(ModelWeights& weights);
// The layers that have routed experts, by the number that a pass calls them; null where a layer has
// none.
std::vector<const MoeWeights*> moe_layers(const ModelWeights& weights);

}  // namespace fathom
