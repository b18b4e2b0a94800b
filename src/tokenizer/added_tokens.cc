#include "tokenizer/added_tokens.h"

namespace fathom {

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) {
  for (const AddedToken& token : tokens) {
    (token.normalized ? second_ : first_).add(token.content, token.id);
    has_second_ = has_second_ || token.normalized;
  }
}

int32_t AddedTokens::Trie::child_of(int32_t node, char byte) const {
  int32_t child = nodes[static_cast<size_t>(node)].child;
  while (child >= 0 && nodes[static_cast<size_t>(child)].byte != byte) {
    child = nodes[static_cast<size_t>(child)].sibling;
  }
  return child;
}

void AddedTokens::Trie::add(std::string_view content, int32_t id) {
  begins[static_cast<unsigned char>(content[0])] = true;
  int32_t node = 0;
  for (const char byte : content) {
    int32_t child = child_of(node, byte);
    if (child < 0) {
      child = static_cast<int32_t>(nodes.size());
      nodes.push_back(
          {.child = -1, .sibling = nodes[static_cast<size_t>(node)].child, .id = -1, .byte = byte});
      nodes[static_cast<size_t>(node)].child = child;
    }
    node = child;
  }
  nodes[static_cast<size_t>(node)].id = id;
}

void AddedTokens::Trie::find(std::string_view text, size_t begin, size_t end,
                             std::vector<AddedTokenMatch>& matches) const {
  size_t i = begin;
  while (i < end) {
    if (!begins[static_cast<unsigned char>(text[i])]) {
      ++i;
      continue;
    }
    AddedTokenMatch longest{i, i, -1};
    int32_t node = 0;
    for (size_t k = i; k < end; ++k) {
      node = child_of(node, text[k]);
      if (node < 0) break;
      if (const int32_t id = nodes[static_cast<size_t>(node)].id; id >= 0) longest = {i, k + 1, id};
    }
    if (longest.id >= 0) {
      matches.push_back(longest);
      i = longest.end;
    } else {
      ++i;
    }
  }
}

int32_t AddedTokens::Trie::find_id(std::string_view content) const {
  int32_t node = 0;
  for (const char byte : content) {
    node = child_of(node, byte);
    if (node < 0) return -1;
  }
  return nodes[static_cast<size_t>(node)].id;
}

void AddedTokens::find(std::string_view text, size_t begin, size_t end,
                       std::vector<AddedTokenMatch>& matches) const {
  if (!has_second_) {
    first_.find(text, begin, end, matches);
    return;
  }
  std::vector<AddedTokenMatch> outer;
  first_.find(text, begin, end, outer);
  size_t from = begin;
  for (const AddedTokenMatch& match : outer) {
    second_.find(text, from, match.begin, matches);
    matches.push_back(match);
    from = match.end;
  }
  second_.find(text, from, end, matches);
}

int32_t AddedTokens::find_id(std::string_view content) const {
  const int32_t id = first_.find_id(content);
  return id >= 0 ? id : second_.find_id(content);
}

}  // namespace fathom
