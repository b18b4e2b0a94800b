// Follows an answer through a grammar and says which tokens may come next. What the answer so far
// leaves open is a set of places in the grammar, each with the calls around it; sets that were met
// before are found again, so that their bytes and their tokens are worked out once. Memory is
// bounded: what is too much is forgotten and worked out again; of an answer that leaves more than
// kPlacesMax places open, the rest is not followed, so that what comes out belongs to the grammar,
// while not all of the grammar may come out.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/mix64.h"
#include "engine/grammar.h"
#include "engine/token_trie.h"

namespace fathom {

class GrammarMatcher {
 public:
  static constexpr size_t kPlacesMax = 2'000;      // that read bytes
  static constexpr int64_t kWorkMax = 20'000'000;  // places that one mask may look at

  // trie outlives it.
  GrammarMatcher(std::shared_ptr<const Grammar> grammar, const TokenTrie& trie);

  // Bit t of word t / 64: token t may come next. Valid until the next call of this object.
  std::span<const uint64_t> allowed();
  // The answer may end here.
  bool may_end() const { return sets_[static_cast<size_t>(current_)].may_end; }
  // Nothing may come next.
  bool is_complete();
  // False, and nothing changed, if the token may not come next.
  bool accept(int32_t token);
  // Likewise of bytes.
  bool accept_bytes(std::string_view bytes);
  // Back to the beginning; what is known of sets and tokens stays.
  void restart();

 private:
  // A place in the grammar: a state, and the calls that it is inside of.
  struct Place {
    int32_t state;
    int32_t frame;
    auto operator<=>(const Place&) const = default;
  };
  // A call: where it goes on, and the call around it. Frame 0 is none.
  struct Frame {
    int32_t return_state;
    int32_t parent;
    auto operator<=>(const Frame&) const = default;
  };
  static constexpr int32_t kUnknown = -2, kDead = -1;
  struct Set {
    std::vector<Place> places;
    bool may_end = false;
    std::array<int32_t, 256> next;
    std::vector<uint64_t> tokens;  // empty: not known
  };

  int32_t frame_of(Frame frame);
  struct PlaceHash {
    size_t operator()(const Place& place) const {
      return mix64(static_cast<uint64_t>(static_cast<uint32_t>(place.state)) << 32 |
                   static_cast<uint32_t>(place.frame));
    }
  };
  // A set in the making: what reads bytes, and all that was looked at.
  struct Open {
    std::vector<Place> places;
    bool may_end = false;
    std::unordered_set<Place, PlaceHash> seen;
  };
  // Adds the place and all that is reached from it without a byte.
  void enter(Place place, Open& open);
  int32_t set_of(std::vector<Place> places, bool may_end);
  int32_t dead_end();
  int32_t step(int32_t set, uint8_t byte);
  void work_out_tokens(int32_t set);
  void forget();

  std::shared_ptr<const Grammar> grammar_;
  const TokenTrie& trie_;
  std::vector<Frame> frames_;
  std::map<Frame, int32_t> frame_ids_;
  std::vector<Set> sets_;
  std::map<std::pair<std::vector<Place>, bool>, int32_t> set_ids_;
  int32_t current_ = 0;
  int64_t n_token_sets_ = 0;
  int64_t work_ = 0;           // of the mask at hand
  std::vector<int32_t> path_;  // of the walk through the tokens
};

}  // namespace fathom
