// Blocks of the cache by their content: a tree whose edges are the 64 tokens of a block, so that a
// sequence which begins like an earlier one takes its rows instead of computing them. Rows are the
// same bytes whoever computed them (docs/numerics.md 5): a hit saves work and changes nothing.
// Tokens are compared, not hashes alone, and each partition has a tree of its own, so that nobody
// is given, or can time, what another partition's requests left.
//
// The blocks live in the pool and count in its budget. What nobody uses is given back when room is
// needed, the least recently used first.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/kv_cache.h"

namespace fathom {

class PrefixCache {
 public:
  explicit PrefixCache(KvPool& pool) : pool_(pool) {}
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  struct Found {
    int64_t n_positions = 0;
    bool has_module_rows = true;  // of all of them, see keep()
  };
  // Gives kv, which is empty, the blocks of the longest known beginning of tokens; whole blocks,
  // and at most max_positions.
  Found adopt(const std::string& partition, std::span<const int32_t> tokens, int64_t max_positions,
              KvSequence& kv);

  // Where a sequence stands in the tree: made by the first keep() of it, forgotten by whoever ends
  // it. Blocks before it are held by the sequence, so they stay.
  struct Place {
    void* node = nullptr;
    int64_t n_blocks = 0;
  };
  // Keeps the complete blocks of a sequence up to n_positions of tokens (both from position 0). Of
  // blocks that are known already the sequence takes the known ones. has_module_rows: the rows of
  // the MTP modules are there too. (That of a block's last position depends on the token after it;
  // whoever comes last writes it. It shapes drafts, never tokens.)
  void keep(const std::string& partition, std::span<const int32_t> tokens, int64_t n_positions,
            bool has_module_rows, KvSequence& kv, Place& place);

  // For engine/prefix_file.h: all blocks, each after the one before it in its sequence.
  struct Entry {
    const std::string* partition;
    int64_t parent;  // its number in the list; -1: a beginning
    std::span<const int32_t> tokens;
    int64_t block;
    bool has_module_rows;
  };
  std::vector<Entry> entries() const;
  // One of them again, behind parent (of no node: at the beginning). The cache holds the block,
  // unless it has one of these tokens there already.
  Place restore(const std::string& partition, const Place& parent, std::span<const int32_t> tokens,
                int64_t block, bool has_module_rows);

  // Gives back blocks that only the cache holds until n_blocks are free. False, and nothing given
  // back, if there are too few.
  bool make_room(int64_t n_blocks);
  void clear();

  int64_t n_blocks() const { return n_blocks_; }
  int64_t n_evicted() const { return n_evicted_; }

 private:
  using Tokens = std::array<int32_t, kKvBlockRows>;
  struct TokensHash {
    size_t operator()(const Tokens& tokens) const;
  };
  struct Node {
    Node* parent = nullptr;
    const std::string* partition = nullptr;  // of a root
    Tokens tokens = {};
    int64_t block = -1;
    int64_t last_use = 0;
    bool has_module_rows = false;
    std::unordered_map<Tokens, std::unique_ptr<Node>, TokensHash> children;
  };

  static Tokens block_of(std::span<const int32_t> tokens, int64_t index);
  Node& root(const std::string& partition);
  int64_t n_unused() const;
  void touch(Node& node);
  Node& child_of(Node& node, const Tokens& key, int64_t block, bool has_module_rows);
  void remove(Node& leaf);

  KvPool& pool_;
  std::map<std::string, Node> roots_;
  std::set<std::pair<int64_t, Node*>> leaves_;  // by last use
  int64_t clock_ = 0;
  int64_t n_blocks_ = 0;
  int64_t n_evicted_ = 0;
};

}  // namespace fathom
