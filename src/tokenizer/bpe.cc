#include "tokenizer/bpe.h"

#include <algorithm>

namespace fathom {
namespace {

// Up to here a scan for the lowest rank beats the heap (English words are 5 bytes on average).
constexpr size_t kShortBytes = 32;

}  // namespace

Result<Bpe> Bpe::create(const Vocabulary& vocabulary, const std::vector<Merge>& merges) {
  if (static_cast<int64_t>(merges.size()) > kMergesMax) {
    return exhausted_error("there are ", merges.size(), " merges, more than ", kMergesMax);
  }
  Bpe result;
  size_t n_slots = 1024;
  result.shift_ = 64 - 10;
  while (n_slots < 2 * merges.size()) {
    n_slots *= 2;
    --result.shift_;
  }
  result.slots_.assign(n_slots, Slot{});
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& merge = merges[rank];
    const uint64_t pair = pair_of(merge.left, merge.right);
    size_t slot = result.slot_of(pair);
    while (result.slots_[slot].merged >= 0 && result.slots_[slot].pair != pair)
      slot = (slot + 1) & (n_slots - 1);
    if (result.slots_[slot].merged >= 0) {
      return invalid_error("merges ", result.slots_[slot].rank, " and ", rank,
                           " are the same: ", quoted(vocabulary.bytes(merge.left)), " with ",
                           quoted(vocabulary.bytes(merge.right)));
    }
    result.slots_[slot] = {pair, static_cast<uint32_t>(rank), merge.merged};
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    result.byte_ids_[byte] = vocabulary.find_piece(std::string_view(&c, 1));
  }
  return result;
}

const Bpe::Slot& Bpe::find(int32_t left, int32_t right) const {
  const uint64_t pair = pair_of(left, right);
  const size_t mask = slots_.size() - 1;
  size_t slot = slot_of(pair);
  while (slots_[slot].pair != pair && slots_[slot].merged >= 0) slot = (slot + 1) & mask;
  return slots_[slot];  // a free one has no rank
}

void Bpe::encode(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const {
  if (piece.size() <= kShortBytes) {
    encode_short(piece, ids);
  } else {
    encode_long(piece, scratch, ids);
  }
}

std::vector<Bpe::Merge> Bpe::merges() const {
  std::vector<std::pair<uint32_t, Merge>> ranked;
  for (const Slot& slot : slots_) {
    if (slot.rank == kNoRank) continue;
    ranked.push_back({slot.rank,
                      {static_cast<int32_t>(slot.pair >> 32),
                       static_cast<int32_t>(slot.pair & 0xffffffffu), slot.merged}});
  }
  std::sort(ranked.begin(), ranked.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Merge> out;
  out.reserve(ranked.size());
  for (const auto& [rank, merge] : ranked) out.push_back(merge);
  return out;
}

void Bpe::encode_short(std::string_view piece, std::vector<int32_t>& ids) const {
  std::array<int32_t, kShortBytes> symbols;
  std::array<uint32_t, kShortBytes> ranks;  // of the pair that begins here
  std::array<int32_t, kShortBytes> merged;  // what it becomes
  size_t n = piece.size();
  for (size_t i = 0; i < n; ++i) symbols[i] = byte_ids_[static_cast<unsigned char>(piece[i])];
  const auto look_up = [&](size_t i) {
    if (i + 1 >= n) {
      ranks[i] = kNoRank;
      return;
    }
    const Slot& slot = find(symbols[i], symbols[i + 1]);
    ranks[i] = slot.rank;
    merged[i] = slot.merged;
  };
  for (size_t i = 0; i < n; ++i) look_up(i);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (ranks[i] < ranks[best]) best = i;
    }
    if (ranks[best] == kNoRank) break;
    symbols[best] = merged[best];
    for (size_t i = best + 1; i + 1 < n; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];
      merged[i] = merged[i + 1];
    }
    --n;
    look_up(best);
    if (best > 0) look_up(best - 1);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.begin() + static_cast<ptrdiff_t>(n));
}

void Bpe::encode_long(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const {
  const int64_t n = static_cast<int64_t>(piece.size());
  std::vector<Symbol>& symbols = scratch.symbols;
  std::vector<Candidate>& heap = scratch.heap;
  symbols.resize(piece.size());
  heap.clear();
  const auto symbol = [&](int64_t i) -> Symbol& { return symbols[static_cast<size_t>(i)]; };
  // The heap's top is the largest in this order: the lowest rank, of equal ones the leftmost.
  const auto after = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  const auto rank_at = [&](int64_t i) {
    return symbol(i).next < n ? find(symbol(i).id, symbol(symbol(i).next).id).rank : kNoRank;
  };
  for (int64_t i = 0; i < n; ++i) {
    symbol(i) = {byte_ids_[static_cast<unsigned char>(piece[static_cast<size_t>(i)])], kNoRank,
                 i - 1, i + 1};
  }
  for (int64_t i = 0; i < n; ++i) {
    symbol(i).rank = rank_at(i);
    if (symbol(i).rank != kNoRank) heap.push_back({symbol(i).rank, i});
  }
  std::make_heap(heap.begin(), heap.end(), after);

  const auto refresh = [&](int64_t i) {
    symbol(i).rank = rank_at(i);
    if (symbol(i).rank == kNoRank) return;
    heap.push_back({symbol(i).rank, i});
    std::push_heap(heap.begin(), heap.end(), after);
  };
  while (!heap.empty()) {
    const Candidate top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), after);
    heap.pop_back();
    Symbol& left = symbol(top.position);
    // Out of date: the pair has become another, or its left symbol was merged away (its rank is
    // none then).
    if (left.rank != top.rank) continue;
    Symbol& right = symbol(left.next);
    left.id = find(left.id, right.id).merged;
    left.next = right.next;
    right.rank = kNoRank;
    if (left.next < n) symbol(left.next).previous = top.position;
    refresh(top.position);
    if (left.previous >= 0) refresh(left.previous);
  }
  for (int64_t i = 0; i < n; i = symbol(i).next) ids.push_back(symbol(i).id);
}

}  // namespace fathom
