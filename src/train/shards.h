// Text as token ids on disk (docs/data.md): a folder with index.json and, for the train and the
// validation split, files of ids, documents one after another, mapped when they are read. Ids are
// little-endian, 16 bits where the vocabulary fits, else 32. A mask, where there is one, is a byte
// for each token: 1 if it counts as a target.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/files.h"
#include "io/mapped_file.h"
#include "train/shard_folder.h"

namespace fathom {

enum class Split : uint8_t { kTrain, kValidation };

struct ShardFile {
  std::string name;
  int64_t tokens = 0;
  uint64_t checksum = 0;       // XXH64 of the ids
  uint64_t mask_checksum = 0;  // of the mask
};

struct ShardSplit {
  int64_t documents = 0;
  int64_t tokens = 0;
  int64_t text_bytes = 0;
  std::vector<ShardFile> files;
};

struct ShardIndex {
  int64_t vocab_size = 0;
  uint64_t tokenizer_digest = 0;  // of the tokenizer that made the ids
  bool has_mask = false;
  ShardSplit train, validation;
  int64_t token_bytes() const { return vocab_size <= 65536 ? 2 : 4; }
  const ShardSplit& split(Split which) const { return which == Split::kTrain ? train : validation; }
};

class ShardWriter {
 public:
  static constexpr int64_t kShardTokens = int64_t{1} << 27;  // of a file

  // Makes the folder. A folder that holds shards is refused without force; with it they are
  // replaced by finish(), and stay as they are if it does not come to that. header: vocab_size,
  // tokenizer_digest, has_mask.
  static Result<ShardWriter> create(const std::string& folder, const ShardIndex& header,
                                    bool force);
  // One document. ids within the vocabulary; mask [ids.size()] or empty: all count.
  Status add(Split split, std::span<const int32_t> ids, std::span<const uint8_t> mask,
             int64_t text_bytes);
  // Gives all files their names, the index last; before that the folder holds nothing new.
  Result<ShardIndex> finish();

  ShardWriter(ShardWriter&&) noexcept;
  ShardWriter& operator=(ShardWriter&&) noexcept;
  ~ShardWriter();

 private:
  struct Open;
  struct OpenSplit;
  ShardWriter(ShardFolder folder, ShardIndex index);
  static Status close(OpenSplit& split);

  std::unique_ptr<ShardFolder> folder_;  // outlives the files in it
  ShardIndex index_;
  std::vector<std::unique_ptr<OpenSplit>> splits_;
};

// One split of a folder, mapped. Threads may read at the same time.
class Shards {
 public:
  // Errors: no shards there, of another version, damaged (sizes and checksums are compared).
  static Result<Shards> open(const std::string& folder, Split split);

  const ShardIndex& index() const { return index_; }
  const std::string& folder() const { return folder_; }
  int64_t n_tokens() const { return n_tokens_; }
  // Tokens [begin, begin + ids.size()) of the split, and their mask (may be empty: not wanted).
  // Error: an id that is not in the vocabulary.
  Status read(int64_t begin, std::span<int32_t> ids, std::span<uint8_t> mask) const;

 private:
  struct Mapped {
    int64_t begin = 0;  // in tokens
    int64_t tokens = 0;
    MappedFile ids, mask;
  };
  std::string folder_;
  ShardIndex index_;
  int64_t n_tokens_ = 0;
  std::vector<Mapped> files_;
};

}  // namespace fathom
