// Goal: a broken tokenizer is refused with its file and what is wrong in it; none gives wrong ids
// in silence. Method: the default model's tokenizer.json and tokenizer_config.json (or a
// tiktoken.model), one thing changed, read by `tokenize`.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "io/json.h"
#include "tests/support/faults.h"

namespace fathom::test {
namespace {

namespace fs = std::filesystem;
const std::string kJson = "tokenizer.json";
const std::string kConfig = "tokenizer_config.json";
const std::string kTiktoken = "tiktoken.model";
const std::string kJsonPath = "fathom: {}/" + kJson;
const std::string kConfigPath = "fathom: {}/" + kConfig;
const std::string kTiktokenPath = "fathom: {}/" + kTiktoken;

// The member of that name, which must be there.
Json& member(Json& object, std::string_view name) {
  for (auto& [key, value] : object.as_object()) {
    if (key == name) return value;
  }
  ADD_FAILURE() << "no " << name;
  return object;
}

Break change(std::string file, std::function<void(Json&)> edit) {
  return default_tokenizer([=](const TempDir& folder) {
    Json json = parse_json(read_file(folder.file(file))).value();
    edit(json);
    folder.write(file, json.dump());
  });
}

Break vocab(std::function<void(Json&)> edit) {
  return change(kJson, [=](Json& json) { edit(member(member(json, "model"), "vocab")); });
}

Break merges(std::function<void(Json::Array&)> edit) {
  return change(kJson,
                [=](Json& json) { edit(member(member(json, "model"), "merges").as_array()); });
}

Break model_field(std::string name, Json value) {
  return change(kJson, [=](Json& json) { member(json, "model").set(name, value); });
}

Break added(std::string name, Json value) {
  return change(kJson,
                [=](Json& json) { member(json, "added_tokens").as_array()[3].set(name, value); });
}

Break pattern(std::string regex) {
  return change(kJson, [=](Json& json) {
    Json split = Json::object();
    Json of = Json::object();
    of.set("Regex", regex);
    split.set("type", "Split");
    split.set("pattern", std::move(of));
    split.set("behavior", "Isolated");
    Json bytes = Json::object();
    bytes.set("type", "ByteLevel");
    bytes.set("use_regex", false);
    bytes.set("add_prefix_space", false);
    Json steps = Json::array();
    steps.push_back(std::move(split));
    steps.push_back(std::move(bytes));
    Json sequence = Json::object();
    sequence.set("type", "Sequence");
    sequence.set("pretokenizers", std::move(steps));
    json.set("pre_tokenizer", std::move(sequence));
  });
}

Json typed(const std::string& type) {
  Json json = Json::object();
  json.set("type", type);
  return json;
}

// All 256 bytes in base64, one a line with its rank.
std::string tiktoken_bytes() {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (int byte = 0; byte < 256; ++byte) {
    text += kDigits[byte >> 2];
    text += kDigits[(byte & 3) << 4];
    text += "== " + std::to_string(byte) + "\n";
  }
  return text;
}

Break tiktoken(std::string content,
               std::string config = R"({"tokenizer_class": "TikTokenTokenizer"})") {
  return in_order({put(kTiktoken, std::move(content)), put(kConfig, std::move(config))});
}

const std::vector<Fault> kJsonFaults = {
    {"NoTokenizerAtAll", {}, {}, {"{}", kJson, kTiktoken}},
    {"TokenizerIsEmpty", default_tokenizer(put(kJson, "")), {}, {kJsonPath, "JSON"}},
    {"TokenizerIsCut",
     default_tokenizer([](const TempDir& folder) { fs::resize_file(folder.file(kJson), 100000); }),
     {},
     {kJsonPath, "JSON"}},
    {"TokenizerIsAList", default_tokenizer(put(kJson, "[]")), {}, {kJsonPath, "an array"}},
    {"TokenizerIsNestedDeep",
     default_tokenizer(put(kJson, std::string(1000000, '['))),
     {},
     {kJsonPath, "nested"}},
    {"TokenizerIsHuge",
     default_tokenizer(
         [](const TempDir& folder) { fs::resize_file(folder.file(kJson), uintmax_t{1} << 41); }),
     {},
     {kJsonPath, "bytes"}},
    {"TokenizerIsAPipe",
     in_order({default_tokenizer({}),
               [](const TempDir& folder) {
                 fs::remove(folder.file(kJson));
                 ASSERT_EQ(::mkfifo(folder.file(kJson).c_str(), 0600), 0);
               }}),
     {},
     {kJsonPath, "a pipe"}},
    {"ModelMissing",
     change(kJson, [](Json& json) { json.set("model", nullptr); }),
     {},
     {kJsonPath, "\"model\""}},
    {"ModelOfAnotherKind", model_field("type", "Unigram"), {}, {kJsonPath, "Unigram", "BPE"}},
    {"ModelWithDropout", model_field("dropout", 0.1), {}, {kJsonPath, "dropout"}},
    {"ModelWithByteFallback", model_field("byte_fallback", true), {}, {kJsonPath, "byte_fallback"}},
    {"ModelWithASuffix",
     model_field("end_of_word_suffix", "</w>"),
     {},
     {kJsonPath, "end_of_word_suffix"}},
    {"VocabularyIsAList", model_field("vocab", Json::array()), {}, {kJsonPath, "model.vocab"}},
    {"VocabularyIsEmpty", model_field("vocab", Json::object()), {}, {kJsonPath}},
    {"VocabularyHasAGap",
     vocab([](Json& json) { json.as_object().erase(json.as_object().begin() + 1000); }),
     {},
     {kJsonPath}},
    {"VocabularyGivesAnIdTwice",
     vocab([](Json& json) { json.as_object()[1001].second = json.as_object()[1000].second; }),
     {},
     {kJsonPath, "twice"}},
    {"VocabularyIdNegative",
     vocab([](Json& json) { json.as_object()[1000].second = -1; }),
     {},
     {kJsonPath, "-1"}},
    {"VocabularyIdHuge",
     vocab([](Json& json) { json.as_object()[1000].second = int64_t{1} << 62; }),
     {},
     {kJsonPath, "4611686018427387904"}},
    {"VocabularyIdIsAText",
     vocab([](Json& json) { json.as_object()[1000].second = "1000"; }),
     {},
     {kJsonPath, "model.vocab", "a string"}},
    {"VocabularyWithoutAByte",
     vocab([](Json& json) { json.as_object()[10].first = "renamed"; }),
     {},
     {kJsonPath, "byte"}},
    {"VocabularyPieceIsEmpty",
     vocab([](Json& json) { json.as_object()[1000].first = ""; }),
     {},
     {kJsonPath}},
    {"MergeNamesAnUnknownToken",
     merges([](Json::Array& list) { list[5] = "qqqq zzzz"; }),
     {},
     {kJsonPath, "model.merges[5]", "qqqq"}},
    {"MergeMakesAnUnknownToken",
     merges([](Json::Array& list) { list[5] = "! !"; }),
     {},
     {kJsonPath, "model.merges[5]"}},
    {"MergeStandsTwice",
     merges([](Json::Array& list) { list[6] = list[5]; }),
     {},
     {kJsonPath, "5", "6", "the same"}},
    {"MergeOfThree",
     merges([](Json::Array& list) { list[5] = "a b c"; }),
     {},
     {kJsonPath, "model.merges[5]"}},
    {"MergeIsANumber",
     merges([](Json::Array& list) { list[5] = 7; }),
     {},
     {kJsonPath, "model.merges[5]"}},
    {"MergesAreAnObject", model_field("merges", Json::object()), {}, {kJsonPath, "merges"}},
    {"TenMillionMerges",
     merges([](Json::Array& list) { list.assign(10'000'000, Json("a b")); }),
     {},
     {kJsonPath, "10000000"}},
    {"AddedTokenIsAByte", added("id", 100), {}, {kJsonPath, "100"}},
    {"AddedTokenIdHuge", added("id", int64_t{1} << 40), {}, {kJsonPath, "1099511627776"}},
    {"AddedTokenWithoutContent", added("content", nullptr), {}, {kJsonPath, "content"}},
    {"AddedTokenIsEmpty", added("content", ""), {}, {kJsonPath, "content"}},
    {"AddedTokenThatStrips", added("lstrip", true), {}, {kJsonPath, "lstrip"}},
    {"AddedTokenThatIsAWord", added("single_word", true), {}, {kJsonPath, "single_word"}},
    {"AddedTokensAreAText",
     change(kJson, [](Json& json) { json.set("added_tokens", "none"); }),
     {},
     {kJsonPath, "added_tokens"}},
    {"NormaliserOfAnotherKind",
     change(kJson, [](Json& json) { json.set("normalizer", typed("NFKC")); }),
     {},
     {kJsonPath, "NFKC"}},
    {"PreTokenizerMissing",
     change(kJson, [](Json& json) { json.set("pre_tokenizer", nullptr); }),
     {},
     {kJsonPath, "pre_tokenizer"}},
    {"PreTokenizerOfAnotherKind",
     change(kJson, [](Json& json) { json.set("pre_tokenizer", typed("Metaspace")); }),
     {},
     {kJsonPath, "Metaspace"}},
    {"DecoderMissing",
     change(kJson, [](Json& json) { json.set("decoder", nullptr); }),
     {},
     {kJsonPath, "decoder"}},
    {"PostProcessorOfAnotherKind",
     change(kJson, [](Json& json) { json.set("post_processor", typed("BertProcessing")); }),
     {},
     {kJsonPath, "BertProcessing"}},
    {"PatternIsNoRegex", pattern("(unclosed"), {}, {kJsonPath, "(unclosed"}},
    {"PatternOfExponentialTime", pattern("(a+)+b"), {}, {kJsonPath, "(a+)+b", "linear"}},
    {"PatternWithABackReference", pattern("(a)\\1"), {}, {kJsonPath, "(a)\\1"}},
    {"PatternIsEmpty", pattern(""), {}, {kJsonPath, "pattern"}},
    {"PatternOfAMegabyte", pattern(std::string(1 << 20, 'a')), {}, {kJsonPath, "bytes"}},
};

const std::vector<Fault> kConfigFaults = {
    {"ConfigIsNoJson", default_tokenizer(put(kConfig, "{")), {}, {kConfigPath, "JSON"}},
    {"ConfigIsAList", default_tokenizer(put(kConfig, "[]")), {}, {kConfigPath, "an array"}},
    {"BosIsNoToken",
     change(kConfig, [](Json& json) { json.set("bos_token", "<nobody>"); }),
     {},
     {kConfigPath, "bos_token", "<nobody>"}},
    {"BosIsANumber",
     change(kConfig, [](Json& json) { json.set("bos_token", 0); }),
     {},
     {kConfigPath, "bos_token", "an integer"}},
    {"AddBosIsAText",
     change(kConfig, [](Json& json) { json.set("add_bos_token", "yes"); }),
     {},
     {kConfigPath, "add_bos_token", "a string"}},
    {"AddBosWithoutABos",
     change(kConfig, [](Json& json) { json.set("bos_token", nullptr); }),
     {},
     {kConfigPath, "bos"}},
    {"DecoderKeyIsNoId",
     change(kConfig,
            [](Json& json) {
              Json map = Json::object();
              map.set("seven", Json::object());
              json.set("added_tokens_decoder", map);
            }),
     {},
     {kConfigPath, "seven"}},
    {"ChatTemplateIsANumber",
     change(kConfig, [](Json& json) { json.set("chat_template", 7); }),
     {},
     {kConfigPath, "chat_template", "an integer"}},
    {"TiktokenLineIsNoBase64",
     tiktoken(tiktoken_bytes() + "!!!! 256\n"),
     {},
     {kTiktokenPath, "line 257", "base64"}},
    {"TiktokenLineWithoutARank",
     tiktoken(tiktoken_bytes() + "YWI=\n"),
     {},
     {kTiktokenPath, "line 257"}},
    {"TiktokenRankTwice",
     tiktoken(tiktoken_bytes() + "YWI= 7\n"),
     {},
     {kTiktokenPath, "line 257", "7"}},
    {"TiktokenRankHuge",
     tiktoken(tiktoken_bytes() + "YWI= 99999999999999999999\n"),
     {},
     {kTiktokenPath, "line 257"}},
    {"TiktokenWithoutAByte", tiktoken(tiktoken_bytes().substr(7)), {}, {kTiktokenPath}},
    {"TiktokenIsEmpty", tiktoken(""), {}, {kTiktokenPath, "no pieces"}},
    {"TiktokenOfAnUnknownClass",
     tiktoken(tiktoken_bytes(), R"({"tokenizer_class": "OtherTokenizer"})"),
     {},
     {kConfigPath, "OtherTokenizer"}},
};

std::vector<Fault> all_faults() {
  std::vector<Fault> faults;
  for (const auto& group : {kJsonFaults, kConfigFaults}) {
    for (Fault fault : group) {
      fault.command = {"tokenize", "--model", "{}"};
      fault.input = "some text";
      faults.push_back(std::move(fault));
    }
  }
  return faults;
}

class TokenizerFault : public FaultTest {};
TEST_P(TokenizerFault, IsAnsweredByOneSentence) { expect_one_sentence(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Faults, TokenizerFault, ::testing::ValuesIn(all_faults()), fault_name);

}  // namespace
}  // namespace fathom::test
