// Added tokens (control tokens and others), found in text before anything else: the leftmost, of
// those that begin at one place the longest. Tokens marked "normalized" are looked for after the
// others, in what is left between them; no normaliser being supported, that order is all the mark
// means.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

struct AddedToken {
  int32_t id = -1;
  std::string content;  // not empty
  bool special = false;
  bool normalized = false;
};

struct AddedTokenMatch {
  size_t begin;  // byte offsets
  size_t end;
  int32_t id;
};

class AddedTokens {
 public:
  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // Appends the matches within text[begin, end), in order, none overlapping.
  void find(std::string_view text, size_t begin, size_t end,
            std::vector<AddedTokenMatch>& matches) const;
  // The id of the token with exactly this content, or -1.
  int32_t find_id(std::string_view content) const;

 private:
  // A trie of bytes. Children of one node are linked as siblings; contents are at most
  // Vocabulary::kTokenBytesMax bytes, which bounds a walk.
  struct Node {
    int32_t child = -1;
    int32_t sibling = -1;
    int32_t id = -1;
    char byte = 0;
  };
  struct Trie {
    std::vector<Node> nodes = std::vector<Node>(1);  // 0 is the root
    bool begins[256] = {};

    int32_t child_of(int32_t node, char byte) const;
    void add(std::string_view content, int32_t id);
    void find(std::string_view text, size_t begin, size_t end,
              std::vector<AddedTokenMatch>& matches) const;
    int32_t find_id(std::string_view content) const;
  };

  Trie first_;
  Trie second_;  // the "normalized" ones
  bool has_second_ = false;
};

}  // namespace fathom
