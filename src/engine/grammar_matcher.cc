#include "engine/grammar_matcher.h"

#include <algorithm>

#include "base/math.h"

namespace fathom {

namespace {
constexpr size_t kSetsMax = 8'192;
constexpr size_t kSetsHardMax = 32'768;       // within one walk through the tokens
constexpr int64_t kTokenBytesMax = 16 << 20;  // of the sets of tokens that are kept
}  // namespace

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar, const TokenTrie& trie)
    : grammar_(std::move(grammar)), trie_(trie), frames_(1, Frame{-1, -1}) {
  path_.resize(static_cast<size_t>(trie.depth_max()) + 1);
  restart();
}

void GrammarMatcher::restart() {
  Open open;
  enter({grammar_->rule_start(grammar_->root()), 0}, open);
  current_ = set_of(std::move(open.places), open.may_end);
  if (current_ == kDead) current_ = dead_end();
}

// A set that nothing leads on from: of a beginning that leaves more open than is followed.
int32_t GrammarMatcher::dead_end() {
  sets_.emplace_back().next.fill(kDead);
  return static_cast<int32_t>(sets_.size()) - 1;
}

int32_t GrammarMatcher::frame_of(Frame frame) {
  const auto [at, fresh] = frame_ids_.try_emplace(frame, static_cast<int32_t>(frames_.size()));
  if (fresh) frames_.push_back(frame);
  return at->second;
}

void GrammarMatcher::enter(Place place, Open& open) {
  std::vector<Place> rest = {place};
  while (!rest.empty() && open.places.size() < kPlacesMax) {
    const Place here = rest.back();
    rest.pop_back();
    if (!open.seen.insert(here).second) continue;
    ++work_;
    const Grammar::State& state = grammar_->states()[static_cast<size_t>(here.state)];
    const bool reads = std::any_of(
        state.edges.begin(), state.edges.end(),
        [](const Grammar::Edge& edge) { return edge.kind == Grammar::Edge::Kind::kBytes; });
    if (reads) open.places.push_back(here);
    if (state.is_end) {
      if (here.frame == 0) {
        open.may_end = true;
      } else {
        const Frame frame = frames_[static_cast<size_t>(here.frame)];
        rest.push_back({frame.return_state, frame.parent});
      }
    }
    for (const Grammar::Edge& edge : state.edges) {
      if (edge.kind == Grammar::Edge::Kind::kEmpty) rest.push_back({edge.to, here.frame});
      if (edge.kind != Grammar::Edge::Kind::kCall) continue;
      // A call at the end of a rule needs no way back: lists that call themselves stay flat.
      const Grammar::State& after = grammar_->states()[static_cast<size_t>(edge.to)];
      const bool is_tail = after.is_end && after.edges.empty();
      rest.push_back({grammar_->rule_start(edge.rule),
                      is_tail ? here.frame : frame_of({edge.to, here.frame})});
    }
  }
}

int32_t GrammarMatcher::set_of(std::vector<Place> places, bool may_end) {
  if (places.empty() && !may_end) return kDead;
  std::sort(places.begin(), places.end());
  const auto [at, fresh] =
      set_ids_.try_emplace({std::move(places), may_end}, static_cast<int32_t>(sets_.size()));
  if (fresh) {
    Set& set = sets_.emplace_back();
    set.places = at->first.first;
    set.may_end = may_end;
    set.next.fill(kUnknown);
  }
  return at->second;
}

int32_t GrammarMatcher::step(int32_t set, uint8_t byte) {
  if (set == kDead) return kDead;
  const int32_t known = sets_[static_cast<size_t>(set)].next[byte];
  if (known != kUnknown) return known;
  if (sets_.size() > kSetsHardMax) return kDead;
  if (work_ > kWorkMax) return kDead;
  Open open;
  // By value: sets_ grows.
  const std::vector<Place> from = sets_[static_cast<size_t>(set)].places;
  for (const Place& place : from) {
    for (const Grammar::Edge& edge : grammar_->states()[static_cast<size_t>(place.state)].edges) {
      if (edge.kind == Grammar::Edge::Kind::kBytes && edge.first <= byte && byte <= edge.last)
        enter({edge.to, place.frame}, open);
    }
  }
  const int32_t next = set_of(std::move(open.places), open.may_end);
  sets_[static_cast<size_t>(set)].next[byte] = next;
  return next;
}

// Keeps the set at hand, with the calls around its places, and nothing else.
void GrammarMatcher::forget() {
  const Set kept = sets_[static_cast<size_t>(current_)];
  const std::vector<Frame> old = std::move(frames_);
  frames_.assign(1, Frame{-1, -1});
  frame_ids_.clear();
  sets_.clear();
  set_ids_.clear();
  n_token_sets_ = 0;
  std::map<int32_t, int32_t> moved = {{0, 0}};
  std::vector<Place> places = kept.places;
  for (Place& place : places) {
    // From the outermost call inwards.
    std::vector<int32_t> chain;
    for (int32_t f = place.frame; !moved.contains(f); f = old[static_cast<size_t>(f)].parent)
      chain.push_back(f);
    for (size_t i = chain.size(); i-- > 0;) {
      const Frame& frame = old[static_cast<size_t>(chain[i])];
      moved[chain[i]] = frame_of({frame.return_state, moved.at(frame.parent)});
    }
    place.frame = moved.at(place.frame);
  }
  current_ = set_of(std::move(places), kept.may_end);
  if (current_ == kDead) current_ = dead_end();
}

void GrammarMatcher::work_out_tokens(int32_t set) {
  std::vector<uint64_t> tokens(static_cast<size_t>(ceil_div(trie_.vocab_size(), 64)), 0);
  const std::vector<TokenTrie::Node>& nodes = trie_.nodes();
  path_[0] = set;
  work_ = 0;
  for (size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const int32_t next = step(path_[node.depth], node.byte);
    if (next == kDead) {
      i = static_cast<size_t>(node.after);
      continue;
    }
    path_[node.depth + size_t{1}] = next;
    for (int32_t token = node.token; token >= 0; token = trie_.next_same(token))
      tokens[static_cast<size_t>(token / 64)] |= uint64_t{1} << (token % 64);
    ++i;
  }
  sets_[static_cast<size_t>(set)].tokens = std::move(tokens);
  ++n_token_sets_;
}

std::span<const uint64_t> GrammarMatcher::allowed() {
  if (sets_[static_cast<size_t>(current_)].tokens.empty()) {
    const int64_t set_bytes = ceil_div(trie_.vocab_size(), 8);
    if (sets_.size() > kSetsMax || (n_token_sets_ + 1) * set_bytes > kTokenBytesMax) forget();
    work_out_tokens(current_);
  }
  return sets_[static_cast<size_t>(current_)].tokens;
}

bool GrammarMatcher::is_complete() { return sets_[static_cast<size_t>(current_)].places.empty(); }

bool GrammarMatcher::accept_bytes(std::string_view bytes) {
  int32_t set = current_;
  work_ = 0;
  for (const char c : bytes) {
    set = step(set, static_cast<uint8_t>(c));
    if (set == kDead) return false;
  }
  current_ = set;
  return true;
}

bool GrammarMatcher::accept(int32_t token) {
  const std::string_view bytes = trie_.bytes(token);
  return !bytes.empty() && accept_bytes(bytes);
}

}  // namespace fathom
