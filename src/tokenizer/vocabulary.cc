#include "tokenizer/vocabulary.h"

#include <functional>

#include "io/printable.h"

namespace fathom {
namespace {

void append_hex(std::string& out, unsigned char byte) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  out += kHex[byte >> 4];
  out += kHex[byte & 0xf];
}

Status check_entry(const Vocabulary::Entry& entry, size_t id) {
  if (entry.kind == TokenKind::kNone) {
    return invalid_error("no token has the id ", id,
                         ", but higher ids exist: the ids must be 0, 1, 2, ... without gaps");
  }
  if (entry.bytes.empty()) return invalid_error("the token with id ", id, " is empty");
  if (entry.bytes.size() > Vocabulary::kTokenBytesMax) {
    return exhausted_error("the token with id ", id, " has ", entry.bytes.size(),
                           " bytes, more than ", Vocabulary::kTokenBytesMax);
  }
  return {};
}

}  // namespace

std::string quoted(std::string_view text) { return str_cat('"', printable(text, 60), '"'); }

size_t Vocabulary::slot_of(std::string_view bytes) const {
  const size_t mask = index_.size() - 1;
  // The standard library's hash of text is good in all bits (murmur), so its low ones choose the
  // slot.
  size_t slot = std::hash<std::string_view>{}(bytes)&mask;
  while (index_[slot] >= 0 && this->bytes(index_[slot]) != bytes) slot = (slot + 1) & mask;
  return slot;
}

int32_t Vocabulary::find_piece(std::string_view bytes) const {
  return index_.empty() ? -1 : index_[slot_of(bytes)];
}

Result<Vocabulary> Vocabulary::create(const std::vector<Entry>& entries) {
  if (static_cast<int64_t>(entries.size()) > kTokensMax) {
    return exhausted_error("the vocabulary has ", entries.size(), " tokens, more than ",
                           kTokensMax);
  }
  Vocabulary result;
  size_t n_bytes = 0;
  for (size_t id = 0; id < entries.size(); ++id) {
    FATHOM_RETURN_IF_ERROR(check_entry(entries[id], id));
    n_bytes += entries[id].bytes.size();
  }
  result.pool_.reserve(n_bytes);
  result.offsets_.reserve(entries.size() + 1);
  result.kinds_.reserve(entries.size());
  for (const Entry& entry : entries) {
    result.offsets_.push_back(result.pool_.size());
    result.pool_ += entry.bytes;
    result.kinds_.push_back(entry.kind);
  }
  result.offsets_.push_back(result.pool_.size());

  size_t n_slots = 1024;
  while (n_slots < 2 * entries.size()) n_slots *= 2;
  result.index_.assign(n_slots, -1);
  for (int32_t id = 0; id < result.size(); ++id) {
    if (result.kind(id) != TokenKind::kPiece) continue;
    const size_t slot = result.slot_of(result.bytes(id));
    if (const int32_t other = result.index_[slot]; other >= 0) {
      return invalid_error("the tokens with ids ", other, " and ", id,
                           " are the same: ", quoted(result.bytes(id)));
    }
    result.index_[slot] = id;
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (result.find_piece(std::string_view(&c, 1)) < 0) {
      std::string hex = "0x";
      append_hex(hex, static_cast<unsigned char>(byte));
      return invalid_error("the vocabulary has no piece for the byte ", hex,
                           ": byte-level BPE needs one for each of the 256 bytes");
    }
  }
  return result;
}

}  // namespace fathom
