#include "engine/prefix_cache.h"

#include <algorithm>

#include "base/check.h"
#include "base/mix64.h"

namespace fathom {

size_t PrefixCache::TokensHash::operator()(const Tokens& tokens) const {
  uint64_t hash = 0;
  for (const int32_t token : tokens) hash = mix64(hash ^ static_cast<uint32_t>(token));
  return hash;
}

PrefixCache::~PrefixCache() { clear(); }

PrefixCache::Tokens PrefixCache::block_of(std::span<const int32_t> tokens, int64_t index) {
  Tokens out;
  std::copy_n(tokens.begin() + index * kKvBlockRows, kKvBlockRows, out.begin());
  return out;
}

PrefixCache::Node& PrefixCache::root(const std::string& partition) {
  const auto [at, fresh] = roots_.try_emplace(partition);
  if (fresh) at->second.partition = &at->first;
  return at->second;
}

void PrefixCache::touch(Node& node) {
  const bool is_leaf = node.children.empty();
  if (is_leaf) leaves_.erase({node.last_use, &node});
  node.last_use = ++clock_;
  if (is_leaf) leaves_.insert({node.last_use, &node});
}

PrefixCache::Found PrefixCache::adopt(const std::string& partition, std::span<const int32_t> tokens,
                                      int64_t max_positions, KvSequence& kv) {
  FATHOM_DCHECK(kv.n_blocks() == 0, "a sequence with ", kv.n_blocks(), " blocks");
  Found out;
  const auto tree = roots_.find(partition);
  if (tree == roots_.end()) return out;
  Node* node = &tree->second;
  const int64_t n = std::min<int64_t>(std::ssize(tokens), max_positions) / kKvBlockRows;
  for (int64_t i = 0; i < n; ++i) {
    const auto child = node->children.find(block_of(tokens, i));
    if (child == node->children.end()) break;
    node = child->second.get();
    touch(*node);
    kv.adopt(node->block);
    out.n_positions += kKvBlockRows;
    out.has_module_rows = out.has_module_rows && node->has_module_rows;
  }
  return out;
}

void PrefixCache::keep(const std::string& partition, std::span<const int32_t> tokens,
                       int64_t n_positions, bool has_module_rows, KvSequence& kv, Place& place) {
  const int64_t n = std::min<int64_t>(n_positions, std::ssize(tokens)) / kKvBlockRows;
  if (place.n_blocks >= n) return;
  Node* node = place.node == nullptr ? &root(partition) : static_cast<Node*>(place.node);
  for (; place.n_blocks < n; ++place.n_blocks) {
    const Tokens key = block_of(tokens, place.n_blocks);
    node = &child_of(*node, key, kv.block(place.n_blocks), has_module_rows);
    if (node->block != kv.block(place.n_blocks)) kv.replace(place.n_blocks, node->block);
  }
  place.node = node;
}

// The one that is known, or a new one that holds block.
PrefixCache::Node& PrefixCache::child_of(Node& node, const Tokens& key, int64_t block,
                                         bool has_module_rows) {
  if (node.block >= 0 && node.children.empty()) leaves_.erase({node.last_use, &node});
  std::unique_ptr<Node>& child = node.children[key];
  if (child == nullptr) {
    child = std::make_unique<Node>();
    child->parent = &node;
    child->tokens = key;
    child->block = block;
    child->has_module_rows = has_module_rows;
    pool_.hold(block);
    ++n_blocks_;
  }
  touch(*child);
  return *child;
}

std::vector<PrefixCache::Entry> PrefixCache::entries() const {
  std::vector<Entry> out;
  std::vector<std::pair<const Node*, int64_t>> rest;  // and the number of the one before it
  for (const auto& [partition, root] : roots_) {
    rest.emplace_back(&root, -1);
    while (!rest.empty()) {
      const auto [node, parent] = rest.back();
      rest.pop_back();
      int64_t number = -1;
      if (node->block >= 0) {
        number = std::ssize(out);
        out.push_back({&partition, parent, node->tokens, node->block, node->has_module_rows});
      }
      for (const auto& [tokens, child] : node->children) rest.emplace_back(child.get(), number);
    }
  }
  return out;
}

PrefixCache::Place PrefixCache::restore(const std::string& partition, const Place& parent,
                                        std::span<const int32_t> tokens, int64_t block,
                                        bool has_module_rows) {
  Node& before = parent.node == nullptr ? root(partition) : *static_cast<Node*>(parent.node);
  Node& node = child_of(before, block_of(tokens, 0), block, has_module_rows);
  return {.node = &node, .n_blocks = parent.n_blocks + 1};
}

// Where its parent is a leaf now, it is the next that may go.
void PrefixCache::remove(Node& leaf) {
  leaves_.erase({leaf.last_use, &leaf});
  pool_.give_back(leaf.block);
  --n_blocks_;
  Node* const parent = leaf.parent;
  const Tokens key = leaf.tokens;
  parent->children.erase(key);
  if (!parent->children.empty()) return;
  if (parent->block >= 0) {
    leaves_.insert({parent->last_use, parent});
  } else {
    roots_.erase(std::string(*parent->partition));
  }
}

// Blocks that nobody but the cache holds.
int64_t PrefixCache::n_unused() const {
  int64_t n = 0;
  std::vector<const Node*> rest;
  for (const auto& [partition, root] : roots_) rest.push_back(&root);
  while (!rest.empty()) {
    const Node& node = *rest.back();
    rest.pop_back();
    if (node.block >= 0 && pool_.n_holders(node.block) == 1) ++n;
    for (const auto& [tokens, child] : node.children) rest.push_back(child.get());
  }
  return n;
}

bool PrefixCache::make_room(int64_t n_blocks) {
  if (pool_.n_free() >= n_blocks) return true;
  if (pool_.n_free() + n_unused() < n_blocks) return false;
  while (pool_.n_free() < n_blocks) {
    // Whoever holds a block holds those before it, so there is a leaf that nobody else holds.
    const auto unused = std::find_if(leaves_.begin(), leaves_.end(), [this](const auto& leaf) {
      return pool_.n_holders(leaf.second->block) == 1;
    });
    FATHOM_CHECK(unused != leaves_.end(), "a block is held without those before it");
    remove(*unused->second);
    ++n_evicted_;
  }
  return true;
}

void PrefixCache::clear() {
  while (!leaves_.empty()) remove(*leaves_.begin()->second);
}

}  // namespace fathom
