#include "load/prompts.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>
#include <string_view>

#include "base/str_cat.h"
#include "load/arrivals.h"

namespace fathom {

namespace {

// Short and common, so that most vocabularies have each as one token.
constexpr std::string_view kWords[] = {
    "time",   "year",   "people",  "way",     "day",     "man",    "thing",   "woman",    "life",
    "child",  "world",  "school",  "state",   "family",  "group",  "country", "problem",  "hand",
    "part",   "place",  "case",    "week",    "company", "system", "program", "question", "work",
    "night",  "point",  "home",    "water",   "room",    "mother", "area",    "money",    "story",
    "fact",   "month",  "lot",     "right",   "study",   "book",   "eye",     "job",      "word",
    "side",   "kind",   "head",    "house",   "friend",  "father", "power",   "hour",     "game",
    "line",   "end",    "city",    "name",    "team",    "minute", "idea",    "body",     "back",
    "face",   "others", "level",   "office",  "door",    "health", "person",  "art",      "war",
    "party",  "result", "change",  "morning", "reason",  "girl",   "boy",     "food",     "air",
    "force",  "song",   "light",   "road",    "tree",    "river",  "table",   "window",   "street",
    "summer", "winter", "garden",  "paper",   "letter",  "number", "color",   "sound",    "voice",
    "heart",  "mind",   "love",    "land",    "sea",     "sun",    "moon",    "star",     "rain",
    "wind",   "fire",   "stone",   "horse",   "dog",     "bird",   "fish",    "field",    "forest",
    "bridge", "market", "village", "king",    "queen",   "ship",   "train",   "wall",     "floor",
    "bread",  "milk"};

int64_t n_words(double tokens, double per_word) {
  return std::max<int64_t>(1, std::llround(tokens / per_word));
}

}  // namespace

std::string words_of(uint64_t key, int64_t n) {
  std::string out;
  for (int64_t i = 0; i < n; ++i) {
    if (i > 0) out += ' ';
    out += kWords[mix64(key + static_cast<uint64_t>(i)) % std::size(kWords)];
  }
  return out;
}

std::string every_word() {
  std::string out(kWords[0]);
  for (const std::string_view word : std::span(kWords).subspan(1)) str_append(out, " ", word);
  return out;
}

int64_t n_every_word() { return std::size(kWords); }

std::string SyntheticPrompts::text(int64_t i) const {
  const auto index = static_cast<uint64_t>(i);
  std::string out;
  if (shape_.prefix_tokens > 0) {
    const uint64_t group = index % static_cast<uint64_t>(shape_.prefix_groups);
    out = words_of(mix64(mix64_key(shape_.seed, "prefix") + group),
                   n_words(static_cast<double>(shape_.prefix_tokens), tokens_.per_word));
    out += ' ';
  }
  const int64_t n = whole_number_between(mix64_key(shape_.seed, "prompt length"), index,
                                         shape_.prompt.low, shape_.prompt.high);
  return out + words_of(mix64(mix64_key(shape_.seed, "prompt") + index),
                        n_words(static_cast<double>(n) - tokens_.overhead, tokens_.per_word));
}

int64_t SyntheticPrompts::answer_tokens(int64_t i) const {
  return whole_number_between(mix64_key(shape_.seed, "answer length"), static_cast<uint64_t>(i),
                              shape_.answer.low, shape_.answer.high);
}

}  // namespace fathom
