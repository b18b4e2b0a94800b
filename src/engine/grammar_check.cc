#include "engine/grammar_check.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace fathom {

bool keep_what_ends(std::vector<Grammar::State>& states, const std::vector<int32_t>& rules,
                    int32_t root) {
  using Kind = Grammar::Edge::Kind;
  // Who looks again when a state is found to end: those before it, and those that call its rule.
  std::vector<std::vector<int32_t>> before(states.size());
  std::vector<int32_t> rest;
  std::vector<bool> ends(states.size(), false);
  for (size_t i = 0; i < states.size(); ++i) {
    for (const Grammar::Edge& edge : states[i].edges) {
      before[static_cast<size_t>(edge.to)].push_back(static_cast<int32_t>(i));
      if (edge.kind == Kind::kCall)
        before[static_cast<size_t>(rules[static_cast<size_t>(edge.rule)])].push_back(
            static_cast<int32_t>(i));
    }
    if (!states[i].is_end) continue;
    ends[i] = true;
    rest.push_back(static_cast<int32_t>(i));
  }
  const auto leads_on = [&](const Grammar::Edge& edge) {
    return ends[static_cast<size_t>(edge.to)] &&
           (edge.kind != Kind::kCall ||
            ends[static_cast<size_t>(rules[static_cast<size_t>(edge.rule)])]);
  };
  while (!rest.empty()) {
    const auto at = static_cast<size_t>(rest.back());
    rest.pop_back();
    for (const int32_t state : std::exchange(before[at], {})) {
      const auto& edges = states[static_cast<size_t>(state)].edges;
      // A call that leads on in one of its two ways is looked at again when the other is known.
      if (ends[static_cast<size_t>(state)] || std::none_of(edges.begin(), edges.end(), leads_on))
        continue;
      ends[static_cast<size_t>(state)] = true;
      rest.push_back(state);
    }
  }
  for (Grammar::State& state : states)
    std::erase_if(state.edges, [&](const Grammar::Edge& edge) { return !leads_on(edge); });
  return ends[static_cast<size_t>(rules[static_cast<size_t>(root)])];
}

namespace {

// Which rules can match nothing, and which of them call themselves before they have read a byte.
class LeftCalls {
 public:
  explicit LeftCalls(const Grammar& grammar) : grammar_(grammar) {}

  // States that are looked at, in all.
  static constexpr int64_t kWorkMax = 100'000'000;
  bool gave_up() const { return n_left_ <= 0; }

  // True if some rule's calls without a byte before them come back to it.
  bool find() {
    const auto n_rules = static_cast<size_t>(grammar_.n_rules());
    nullable_.assign(n_rules, false);
    seen_.assign(grammar_.states().size(), 0);
    std::vector<std::vector<int32_t>> callers = callers_of_rules();
    std::vector<int32_t> rest(n_rules);
    std::iota(rest.begin(), rest.end(), 0);
    while (!rest.empty() && !gave_up()) {
      const auto rule = static_cast<size_t>(rest.back());
      rest.pop_back();
      std::vector<int32_t> calls;
      if (nullable_[rule] || !reaches_end(static_cast<int32_t>(rule), calls)) continue;
      nullable_[rule] = true;
      rest.insert(rest.end(), callers[rule].begin(), callers[rule].end());
    }
    std::vector<uint8_t> colour(static_cast<size_t>(grammar_.n_rules()), 0);
    for (int32_t rule = 0; rule < grammar_.n_rules(); ++rule)
      if (colour[static_cast<size_t>(rule)] == 0 && comes_back(rule, colour)) return true;
    return false;
  }

 private:
  // The states of a rule stand together, from its first one to the next rule's.
  std::vector<std::vector<int32_t>> callers_of_rules() const {
    std::vector<std::vector<int32_t>> out(static_cast<size_t>(grammar_.n_rules()));
    for (int32_t rule = 0; rule < grammar_.n_rules(); ++rule) {
      const int32_t end = rule + 1 < grammar_.n_rules()
                              ? grammar_.rule_start(rule + 1)
                              : static_cast<int32_t>(grammar_.states().size());
      for (int32_t s = grammar_.rule_start(rule); s < end; ++s)
        for (const Grammar::Edge& edge : grammar_.states()[static_cast<size_t>(s)].edges)
          if (edge.kind == Grammar::Edge::Kind::kCall) {
            auto& callers = out[static_cast<size_t>(edge.rule)];
            if (callers.empty() || callers.back() != rule) callers.push_back(rule);
          }
    }
    return out;
  }

  // Whether the rule's end is reached without a byte; calls: the rules called on the way.
  bool reaches_end(int32_t rule, std::vector<int32_t>& calls) {
    std::vector<int32_t> rest = {grammar_.rule_start(rule)};
    ++stamp_;
    seen_[static_cast<size_t>(rest[0])] = stamp_;
    bool end = false;
    while (!rest.empty()) {
      const Grammar::State& state = grammar_.states()[static_cast<size_t>(rest.back())];
      rest.pop_back();
      end = end || state.is_end;
      n_left_ -= 1 + std::ssize(state.edges);
      if (gave_up()) return false;
      for (const Grammar::Edge& edge : state.edges) {
        if (edge.kind == Grammar::Edge::Kind::kBytes) continue;
        if (edge.kind == Grammar::Edge::Kind::kCall) {
          calls.push_back(edge.rule);
          if (!nullable_[static_cast<size_t>(edge.rule)]) continue;
        }
        if (seen_[static_cast<size_t>(edge.to)] == stamp_) continue;
        seen_[static_cast<size_t>(edge.to)] = stamp_;
        rest.push_back(edge.to);
      }
    }
    return end;
  }

  // Depth first without recursion: grey rules are on the path.
  bool comes_back(int32_t start, std::vector<uint8_t>& colour) {
    struct Frame {
      int32_t rule;
      std::vector<int32_t> calls;
    };
    std::vector<Frame> path;
    const auto enter = [&](int32_t rule) {
      colour[static_cast<size_t>(rule)] = 1;
      path.push_back({rule, {}});
      reaches_end(rule, path.back().calls);
    };
    enter(start);
    while (!path.empty()) {
      if (path.back().calls.empty()) {
        colour[static_cast<size_t>(path.back().rule)] = 2;
        path.pop_back();
        continue;
      }
      const int32_t next = path.back().calls.back();
      path.back().calls.pop_back();
      if (colour[static_cast<size_t>(next)] == 1) return true;
      if (colour[static_cast<size_t>(next)] == 0) enter(next);
    }
    return false;
  }

  const Grammar& grammar_;
  std::vector<bool> nullable_;
  std::vector<int32_t> seen_;  // by which search, of each state
  int32_t stamp_ = 0;
  int64_t n_left_ = kWorkMax;
};

}  // namespace

Status check_left_calls(const Grammar& grammar) {
  LeftCalls left(grammar);
  if (left.find())
    return invalid_error("a rule of the grammar calls itself before it has read anything");
  if (left.gave_up()) return exhausted_error("the rules of the grammar call each other too much");
  return {};
}

}  // namespace fathom
