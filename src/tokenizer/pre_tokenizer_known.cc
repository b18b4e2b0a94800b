// The pre-tokenizers that GGUF files know by name, as the published tokenizer.json of each has
// them.
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/v3_scanner.h"
#include "tokenizer/vocabulary.h"

namespace fathom {

namespace {

// Letters of scripts that have capitals, as the tokenizer.json of DeepSeek-LLM and V2 lists them.
// As code points: an editor that normalises text would change what some of them are.
constexpr std::string_view kCasedWords =
    "\\s?["
    "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293"
    "\u0295-\u02AF\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C"
    "\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5"
    "\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77"
    "\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59"
    "\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC"
    "\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107"
    "\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139"
    "\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE"
    "\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E"
    "\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A"
    "\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2"
    "\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943"
    "]+";
constexpr std::string_view kHanAndHangul = "[一-龥ࠀ-一가-퟿]+";

}  // namespace

const std::string_view kKimiPattern =
    R"([\p{Han}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

const std::vector<PreTokenizer::Known>& PreTokenizer::known() {
  const auto make = [] {
    std::vector<Known> sets;
    Known v3 = {"deepseek-v3", {}};
    for (const std::string_view pattern : kV3Patterns) v3.wishes.emplace_back(std::string(pattern));
    sets.push_back(std::move(v3));
    sets.push_back({"deepseek-llm",
                    {"[\r\n]", std::string(kCasedWords), R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)",
                     R"(\s+$)", std::string(kHanAndHangul), Digits{true}}});
    sets.push_back(
        {"deepseek-coder",
         {"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", std::string(kHanAndHangul), Digits{true}}});
    sets.push_back({"kimi-k2", {std::string(kKimiPattern)}});
    return sets;
  };
  static const std::vector<Known> sets = make();
  return sets;
}

Json PreTokenizer::json_of_gguf_name(std::string_view name) {
  for (const Known& set : known()) {
    if (set.gguf_name != name) continue;
    Json steps = Json::array();
    for (const Wish& wish : set.wishes) {
      if (const Digits* digits = std::get_if<Digits>(&wish)) {
        steps.push_back(
            Json::Object{{"type", "Digits"}, {"individual_digits", digits->individual}});
      } else {
        steps.push_back(
            Json::Object{{"type", "Split"},
                         {"pattern", Json::Object{{"Regex", std::get<std::string>(wish)}}},
                         {"behavior", "Isolated"},
                         {"invert", false}});
      }
    }
    steps.push_back(Json::Object{{"type", "ByteLevel"},
                                 {"add_prefix_space", false},
                                 {"trim_offsets", true},
                                 {"use_regex", false}});
    return Json::Object{{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
  }
  return {};
}

Result<PreTokenizer> PreTokenizer::from_gguf_name(std::string_view name) {
  std::string names;
  for (const Known& set : known()) {
    if (set.gguf_name == name) return create(set.wishes);
    str_append(names, names.empty() ? "" : ", ", set.gguf_name);
  }
  return unsupported_error("the pre-tokenizer ", quoted(name), " is not known (known: ", names,
                           ")");
}

}  // namespace fathom
