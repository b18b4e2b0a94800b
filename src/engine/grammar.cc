#include "engine/grammar.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "engine/grammar_check.h"

namespace fathom {

namespace {

constexpr uint32_t kCodePointMax = 0x10ffff;
constexpr CodeRange kSurrogates = {0xd800, 0xdfff};

// Sorted, without overlaps, without what is no character.
std::vector<CodeRange> normalised(std::vector<CodeRange> ranges, bool negated) {
  for (CodeRange& range : ranges) range.last = std::min(range.last, kCodePointMax);
  std::erase_if(ranges, [](const CodeRange& r) { return r.first > r.last; });
  if (negated) ranges.push_back(kSurrogates);
  std::sort(ranges.begin(), ranges.end(),
            [](const CodeRange& a, const CodeRange& b) { return a.first < b.first; });
  std::vector<CodeRange> merged;
  for (const CodeRange& range : ranges) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  std::vector<CodeRange> out;
  const auto add = [&out](uint32_t first, uint32_t last) {
    if (first > last) return;
    if (last < kSurrogates.first || first > kSurrogates.last) {
      out.push_back({first, last});
      return;
    }
    if (first < kSurrogates.first) out.push_back({first, kSurrogates.first - 1});
    if (last > kSurrogates.last) out.push_back({kSurrogates.last + 1, last});
  };
  if (!negated) {
    for (const CodeRange& range : merged) add(range.first, range.last);
    return out;
  }
  uint32_t next = 0;
  for (const CodeRange& range : merged) {
    if (range.first > next) add(next, range.first - 1);
    next = range.last + 1;
  }
  if (next <= kCodePointMax) add(next, kCodePointMax);
  return out;
}

struct ByteRange {
  uint8_t first, last;
};
using ByteSequence = std::vector<ByteRange>;

int encode(uint32_t c, std::array<uint8_t, 4>& bytes) {
  if (c < 0x80) {
    bytes = {static_cast<uint8_t>(c)};
    return 1;
  }
  if (c < 0x800) {
    bytes = {static_cast<uint8_t>(0xc0 | c >> 6), static_cast<uint8_t>(0x80 | (c & 63))};
    return 2;
  }
  if (c < 0x10000) {
    bytes = {static_cast<uint8_t>(0xe0 | c >> 12), static_cast<uint8_t>(0x80 | (c >> 6 & 63)),
             static_cast<uint8_t>(0x80 | (c & 63))};
    return 3;
  }
  bytes = {static_cast<uint8_t>(0xf0 | c >> 18), static_cast<uint8_t>(0x80 | (c >> 12 & 63)),
           static_cast<uint8_t>(0x80 | (c >> 6 & 63)), static_cast<uint8_t>(0x80 | (c & 63))};
  return 4;
}

// Sequences of byte ranges that are exactly the UTF-8 of first..last.
void add_sequences(uint32_t first, uint32_t last, std::vector<ByteSequence>& out) {
  constexpr std::array<uint32_t, 3> kLengthEnds = {0x7f, 0x7ff, 0xffff};
  for (const uint32_t end : kLengthEnds) {
    if (first <= end && last > end) {
      add_sequences(first, end, out);
      add_sequences(end + 1, last, out);
      return;
    }
  }
  // Split until all bytes but the first differing one run through their whole range.
  for (int i = 1; i < 4; ++i) {
    const uint32_t low = (uint32_t{1} << (6 * i)) - 1;
    if ((first & ~low) == (last & ~low)) continue;
    if (last < 0x80) break;
    if ((first & low) != 0) {
      add_sequences(first, first | low, out);
      add_sequences((first | low) + 1, last, out);
      return;
    }
    if ((last & low) != low) {
      add_sequences(first, (last & ~low) - 1, out);
      add_sequences(last & ~low, last, out);
      return;
    }
  }
  std::array<uint8_t, 4> a = {}, b = {};
  const int n = encode(first, a);
  encode(last, b);
  ByteSequence sequence;
  for (int i = 0; i < n; ++i)
    sequence.push_back({a[static_cast<size_t>(i)], b[static_cast<size_t>(i)]});
  out.push_back(std::move(sequence));
}

}  // namespace

GrammarBuilder::Expr GrammarBuilder::add(Node node) {
  if (is_full()) return 0;
  nodes_.push_back(std::move(node));
  return static_cast<Expr>(nodes_.size() - 1);
}

GrammarBuilder::Expr GrammarBuilder::empty() { return text(""); }
GrammarBuilder::Expr GrammarBuilder::text(std::string_view bytes) {
  Node node = {};
  node.kind = Node::Kind::kText;
  node.text = bytes;
  return add(std::move(node));
}
GrammarBuilder::Expr GrammarBuilder::texts(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return this->texts(texts, 0);
}
// Their first n_common bytes are the same, and have been read.
GrammarBuilder::Expr GrammarBuilder::texts(std::span<const std::string> sorted, size_t n_common) {
  if (sorted.empty()) return choice({});
  if (sorted.size() == 1) return text(std::string_view(sorted[0]).substr(n_common));
  // Sorted: what the first and the last share, all share.
  const std::string &first = sorted.front(), &last = sorted.back();
  size_t end = n_common;
  while (end < first.size() && end < last.size() && first[end] == last[end]) ++end;
  std::vector<Expr> parts;
  for (size_t i = 0; i < sorted.size();) {
    if (sorted[i].size() == end) {
      parts.push_back(empty());
      ++i;
      continue;
    }
    size_t after = i + 1;
    while (after < sorted.size() && sorted[after][end] == sorted[i][end]) ++after;
    parts.push_back(texts(sorted.subspan(i, after - i), end));
    i = after;
  }
  return sequence(
      {text(std::string_view(first).substr(n_common, end - n_common)), choice(std::move(parts))});
}
GrammarBuilder::Expr GrammarBuilder::characters(std::vector<CodeRange> ranges, bool negated) {
  Node node = {};
  node.kind = Node::Kind::kCharacters;
  node.ranges = normalised(std::move(ranges), negated);
  return add(std::move(node));
}
GrammarBuilder::Expr GrammarBuilder::sequence(std::vector<Expr> parts) {
  Node node = {};
  node.kind = Node::Kind::kSequence;
  node.parts = std::move(parts);
  return add(std::move(node));
}
GrammarBuilder::Expr GrammarBuilder::choice(std::vector<Expr> parts) {
  Node node = {};
  node.kind = Node::Kind::kChoice;
  node.parts = std::move(parts);
  return add(std::move(node));
}
GrammarBuilder::Expr GrammarBuilder::repeat(Expr part, int64_t min, int64_t max) {
  FATHOM_CHECK(min >= 0 && (max == -1 || max >= min), "repeat ", min, " to ", max);
  Node node = {};
  node.kind = Node::Kind::kRepeat;
  node.parts = {part};
  node.min = min;
  node.max = max;
  return add(std::move(node));
}
GrammarBuilder::Expr GrammarBuilder::call(int32_t rule) {
  Node node = {};
  node.kind = Node::Kind::kCall;
  node.rule = rule;
  return add(std::move(node));
}

int32_t GrammarBuilder::declare_rule() {
  bodies_.push_back(-1);
  return static_cast<int32_t>(bodies_.size() - 1);
}
void GrammarBuilder::define_rule(int32_t rule, Expr body) {
  bodies_[static_cast<size_t>(rule)] = body;
}

// Expressions to states. An expression is compiled between two states that exist.
struct GrammarBuilder::Compiler {
  explicit Compiler(const GrammarBuilder& b) : builder(b) {}

  static constexpr int kDepthMax = 4'000;  // of expressions within each other

  bool full() const {
    return std::ssize(states) > Grammar::kStatesMax || n_edges > Grammar::kEdgesMax || too_deep;
  }
  int32_t state() {
    states.emplace_back();
    return static_cast<int32_t>(states.size() - 1);
  }
  void edge(int32_t from, Grammar::Edge edge) {
    ++n_edges;
    states[static_cast<size_t>(from)].edges.push_back(edge);
  }
  void empty(int32_t from, int32_t to) {
    edge(from, {.kind = Grammar::Edge::Kind::kEmpty, .to = to});
  }
  void bytes(int32_t from, ByteRange range, int32_t to) {
    edge(from,
         {.kind = Grammar::Edge::Kind::kBytes, .first = range.first, .last = range.last, .to = to});
  }

  void compile(Expr expr, int32_t from, int32_t to) {
    if (full()) return;
    too_deep = ++depth > kDepthMax;
    compile_node(expr, from, to);
    --depth;
  }
  void compile_node(Expr expr, int32_t from, int32_t to) {
    const Node& node = builder.nodes_[static_cast<size_t>(expr)];
    switch (node.kind) {
      case Node::Kind::kText:
        text(node.text, from, to);
        break;
      case Node::Kind::kCharacters:
        characters(node.ranges, from, to);
        break;
      case Node::Kind::kSequence:
        for (size_t i = 0; i < node.parts.size(); ++i) {
          const int32_t next = i + 1 == node.parts.size() ? to : state();
          compile(node.parts[i], from, next);
          from = next;
        }
        if (node.parts.empty()) empty(from, to);
        break;
      case Node::Kind::kChoice:
        for (const Expr part : node.parts) compile(part, from, to);
        break;
      case Node::Kind::kRepeat:
        repeat(node, from, to);
        break;
      case Node::Kind::kCall:
        edge(from, {.kind = Grammar::Edge::Kind::kCall, .to = to, .rule = node.rule});
        break;
    }
  }

  void text(std::string_view text, int32_t from, int32_t to) {
    if (text.empty()) empty(from, to);
    for (size_t i = 0; i < text.size(); ++i) {
      const int32_t next = i + 1 == text.size() ? to : state();
      const auto byte = static_cast<uint8_t>(text[i]);
      bytes(from, {byte, byte}, next);
      from = next;
    }
  }

  void characters(const std::vector<CodeRange>& ranges, int32_t from, int32_t to) {
    std::vector<ByteSequence> sequences;
    for (const CodeRange& range : ranges) add_sequences(range.first, range.last, sequences);
    for (const ByteSequence& sequence : sequences) {
      int32_t at = from;
      for (size_t i = 0; i < sequence.size(); ++i) {
        const int32_t next = i + 1 == sequence.size() ? to : state();
        bytes(at, sequence[i], next);
        at = next;
      }
    }
  }

  void repeat(const Node& node, int32_t from, int32_t to) {
    int32_t at = from;
    if (is_nothing(node.parts[0])) return empty(from, to);
    for (int64_t i = 0; i < node.min && !full(); ++i) {
      const int32_t next = state();
      compile(node.parts[0], at, next);
      at = next;
    }
    if (node.max == -1) {
      // Entered by a state of its own, so that what comes before is not entered again.
      const int32_t loop = state(), after = state();
      empty(at, loop);
      compile(node.parts[0], loop, after);
      empty(after, loop);
      empty(loop, to);
      return;
    }
    for (int64_t i = node.min; i < node.max && !full(); ++i) {
      const int32_t next = state();
      empty(at, to);
      compile(node.parts[0], at, next);
      at = next;
    }
    empty(at, to);
  }

  // However often nothing is repeated, it stays nothing.
  bool is_nothing(Expr expr) const {
    const Node& node = builder.nodes_[static_cast<size_t>(expr)];
    return (node.kind == Node::Kind::kText && node.text.empty()) ||
           (node.kind == Node::Kind::kSequence && node.parts.empty());
  }

  const GrammarBuilder& builder;
  std::vector<Grammar::State> states;
  int64_t n_edges = 0;
  int depth = 0;
  bool too_deep = false;
};

Result<Grammar> GrammarBuilder::finish(int32_t root) {
  if (is_full())
    return exhausted_error("the grammar is too large: it has more than ", kNodesMax, " parts");
  Compiler compiler(*this);
  Grammar out;
  for (const Expr body : bodies_) {
    if (body < 0) return invalid_error("a rule of the grammar has no body");
    const int32_t start = compiler.state(), end = compiler.state();
    out.rules_.push_back(start);
    compiler.compile(body, start, end);
    compiler.states[static_cast<size_t>(end)].is_end = true;
    if (compiler.too_deep) return exhausted_error("the grammar is nested too deep");
    if (compiler.full())
      return exhausted_error("the grammar is too large: it has more than ", Grammar::kStatesMax,
                             " states or ", Grammar::kEdgesMax,
                             " ways between them; ask for less, or for fewer repetitions");
  }
  if (!keep_what_ends(compiler.states, out.rules_, root))
    return invalid_error("the grammar matches nothing that has an end");
  out.states_ = std::move(compiler.states);
  out.root_ = root;
  FATHOM_RETURN_IF_ERROR(check_left_calls(out));
  return out;
}

}  // namespace fathom
