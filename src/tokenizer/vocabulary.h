// What every token id stands for, and which id given bytes have. Ids are 0 .. size-1 without gaps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fathom {

enum class TokenKind : uint8_t {
  kNone,     // no token has this id (only while a vocabulary is being read)
  kPiece,    // bytes that BPE may make
  kLiteral,  // an entry of the vocabulary that is not spelled in the byte alphabet: decoded as it
             // stands, never made
  kAdded,    // an added token: cut out of the text before anything else
  kSpecial,  // an added token that skip_special_tokens drops
};

class Vocabulary {
 public:
  struct Entry {
    std::string bytes;
    TokenKind kind = TokenKind::kNone;
  };
  // More tokens than this, or a longer one, is taken for a broken file.
  static constexpr int64_t kTokensMax = int64_t{1} << 22;
  static constexpr size_t kTokenBytesMax = 2048;

  Vocabulary() = default;
  // entries[id]. Errors: a gap, two pieces of the same bytes, a byte without a piece, a token too
  // long.
  static Result<Vocabulary> create(const std::vector<Entry>& entries);

  int32_t size() const { return static_cast<int32_t>(kinds_.size()); }
  bool contains(int32_t id) const { return id >= 0 && id < size(); }
  // For ids that it contains.
  TokenKind kind(int32_t id) const { return kinds_[static_cast<size_t>(id)]; }
  std::string_view bytes(int32_t id) const {
    const size_t i = static_cast<size_t>(id);
    return std::string_view(pool_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
  }
  // The piece (kPiece) of exactly these bytes, or -1.
  int32_t find_piece(std::string_view bytes) const;

 private:
  size_t slot_of(std::string_view bytes) const;

  std::string pool_;             // the bytes of all tokens, by id
  std::vector<size_t> offsets_;  // size + 1
  std::vector<TokenKind> kinds_;
  std::vector<int32_t> index_;  // open addressing: ids of pieces by their hash; -1 is free
};

// In quotation marks, as one short line: how messages show tokens and patterns.
std::string quoted(std::string_view text);

}  // namespace fathom
