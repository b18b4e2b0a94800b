#include "engine/token_trie.h"

#include <algorithm>

#include "engine/grammar.h"

namespace fathom {

namespace {
// A longer token is no text that a grammar would want at once.
constexpr size_t kTokenBytesMax = 4096;
}  // namespace

TokenTrie::TokenTrie(const Tokenizer& tokenizer) {
  texts_.resize(static_cast<size_t>(tokenizer.vocab_size()));
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    std::string& text = texts_[static_cast<size_t>(id)];
    text = tokenizer.token_bytes(id);
    if (tokenizer.is_added(id)) {
      text.insert(text.begin(), kControlTokenByte);
    } else if (text.find(kControlTokenByte) != std::string::npos) {
      text.clear();  // no piece of a text, and not to be taken for the above
    }
  }
  build();
}

TokenTrie::TokenTrie(const std::vector<std::string>& texts) : texts_(texts) { build(); }

void TokenTrie::build() {
  same_.assign(texts_.size(), -1);
  std::vector<int32_t> order;
  for (size_t i = 0; i < texts_.size(); ++i)
    if (!texts_[i].empty() && texts_[i].size() <= kTokenBytesMax)
      order.push_back(static_cast<int32_t>(i));
  std::sort(order.begin(), order.end(), [this](int32_t a, int32_t b) {
    const auto &x = texts_[static_cast<size_t>(a)], &y = texts_[static_cast<size_t>(b)];
    return x != y ? x < y : a < b;
  });
  std::vector<size_t> path;  // nodes from the root to the last one
  const auto close = [&](size_t depth) {
    while (path.size() > depth) {
      nodes_[path.back()].after = static_cast<int32_t>(nodes_.size());
      path.pop_back();
    }
  };
  std::string_view before;
  for (const int32_t token : order) {
    const std::string& text = texts_[static_cast<size_t>(token)];
    if (text == before) {
      int32_t& next = same_[static_cast<size_t>(token)];
      next = nodes_[path.back()].token;
      nodes_[path.back()].token = token;
      continue;
    }
    const size_t common = static_cast<size_t>(
        std::mismatch(before.begin(), before.end(), text.begin(), text.end()).first -
        before.begin());
    close(common);
    for (size_t i = common; i < text.size(); ++i) {
      path.push_back(nodes_.size());
      nodes_.push_back({.byte = static_cast<uint8_t>(text[i]),
                        .depth = static_cast<uint16_t>(i),
                        .token = -1,
                        .after = 0});
    }
    nodes_.back().token = token;
    depth_max_ = std::max(depth_max_, static_cast<int64_t>(text.size()));
    before = text;
  }
  close(0);
}

}  // namespace fathom
