// Goal: a config that is broken, or asks for what is not supported, is refused by name and never
// guessed around. Method: the config of a good checkpoint with one field changed, read by `inspect`
// as a file and by `score` before the weights.
#include <gtest/gtest.h>

#include "io/json.h"
#include "tests/support/faults.h"
#include "tests/support/tiny_model.h"

namespace fathom::test {
namespace {

using testing_support::kTinyConfig;

const std::vector<std::vector<std::string>> kReaders = {{"inspect", "{}/config.json"},
                                                        {"score", "--model", "{}"}};

// The tiny config with a field (also "outer.inner") set to what the text says; "" takes it away.
Break field(std::string name, std::string value) {
  return [=](const TempDir& folder) {
    Json config = parse_json(kTinyConfig).value();
    const size_t dot = name.find('.');
    Json* object = &config;
    if (dot != std::string::npos) {
      const std::string outer = name.substr(0, dot);
      if (config.find(outer) == nullptr) config.set(outer, Json::object());
      for (auto& [key, member] : config.as_object()) {
        if (key == outer) object = &member;
      }
    }
    const std::string key = dot == std::string::npos ? name : name.substr(dot + 1);
    if (value.empty()) {
      std::erase_if(object->as_object(),
                    [&](const Json::Member& member) { return member.first == key; });
    } else {
      object->set(key, parse_json(value).value());
    }
    folder.write("config.json", config.dump());
  };
}

// A config with YaRN, of whose fields one is changed.
Break yarn(std::string name, std::string value) {
  const std::string whole =
      R"({"type":"yarn","factor":40,"original_max_position_embeddings":64,"beta_fast":32,"beta_slow":1,)"
      R"("mscale":1.0,"mscale_all_dim":1.0})";
  Json rope = parse_json(whole).value();
  rope.set(name, parse_json(value).value());
  return field("rope_scaling", rope.dump());
}

Break text(std::string content) { return put("config.json", std::move(content)); }

const std::string path = "{}/config.json";
const std::vector<Fault> kTable = {
    {"ConfigIsEmpty", text(""), {}, {path, "JSON"}},
    {"ConfigIsCutInTheMiddle",
     text("{\"model_type\": \"deepseek_v3\", \"vocab"),
     {},
     {path, "JSON"}},
    {"ConfigIsAList", text("[]"), {}, {path, "an array", "expected an object"}},
    {"ConfigIsAnEmptyObject", text("{}"), {}, {path, "missing"}},
    {"ConfigIsNestedDeep", text(std::string(1000000, '[')), {}, {path, "nested"}},
    {"ConfigSaysAFieldTwice",
     text("{\"vocab_size\": 1, \"vocab_size\": 2}"),
     {},
     {path, "vocab_size", "twice"}},
    {"ConfigIsNotUtf8", text("{\"model_type\": \"\xff\xfe\"}"), {}, {path, "UTF-8"}},
    {"ConfigIsAnotherModels", field("model_type", "\"llama\""), {}, {path, "model_type", "llama"}},
    {"ArchitectureOfAnotherModel",
     field("architectures", "[\"LlamaForCausalLM\"]"),
     {},
     {path, "architectures", "LlamaForCausalLM"}},
    {"FieldMissing", field("kv_lora_rank", ""), {}, {path, "kv_lora_rank", "missing"}},
    {"VocabularyMissing", field("vocab_size", ""), {}, {path, "vocab_size", "missing"}},
    {"FieldIsAText", field("hidden_size", "\"24\""), {}, {path, "hidden_size", "\"24\""}},
    {"FieldIsAFraction", field("hidden_size", "24.5"), {}, {path, "hidden_size", "24.5"}},
    {"FieldIsBeyondInt64", field("hidden_size", "18446744073709551616"), {}, {path, "hidden_size"}},
    {"FieldIsNull", field("v_head_dim", "null"), {}, {path, "v_head_dim"}},
    {"NoLayers", field("num_hidden_layers", "0"), {}, {path, "num_hidden_layers", "is 0"}},
    {"BillionLayers",
     field("num_hidden_layers", "1000000000"),
     {},
     {path, "num_hidden_layers", "1000000000"}},
    {"BillionExperts",
     field("n_routed_experts", "1000000000"),
     {},
     {path, "n_routed_experts", "1000000000"}},
    {"NegativeHiddenSize", field("hidden_size", "-24"), {}, {path, "hidden_size", "-24"}},
    {"HugeVocabulary", field("vocab_size", "9223372036854775807"), {}, {path, "vocab_size"}},
    {"NoHeads", field("num_attention_heads", "0"), {}, {path, "num_attention_heads"}},
    {"FewerHeadsForKeys",
     field("num_key_value_heads", "1"),
     {},
     {path, "num_key_value_heads", "is 1", "2"}},
    {"ExpertsDoNotDivideIntoGroups",
     field("n_group", "3"),
     {},
     {path, "n_routed_experts", "n_group = 3"}},
    {"MoreGroupsChosenThanThereAre",
     field("topk_group", "3"),
     {},
     {path, "topk_group", "n_group = 2"}},
    {"MoreExpertsChosenThanTheGroupsHold",
     field("num_experts_per_tok", "3"),
     {},
     {path, "num_experts_per_tok", "is 3"}},
    {"NoExpertsChosen", field("num_experts_per_tok", "0"), {}, {path, "num_experts_per_tok"}},
    {"MoreDenseLayersThanLayersIsNegative",
     field("first_k_dense_replace", "-1"),
     {},
     {path, "first_k_dense_replace", "-1"}},
    {"MoeEveryOtherLayer", field("moe_layer_freq", "2"), {}, {path, "moe_layer_freq", "is 2"}},
    {"UnknownChoiceOfExperts",
     field("topk_method", "\"random\""),
     {},
     {path, "topk_method", "random"}},
    {"UnknownScores", field("scoring_func", "\"tanh\""), {}, {path, "scoring_func", "tanh"}},
    {"UnknownActivation", field("hidden_act", "\"gelu\""), {}, {path, "hidden_act", "gelu"}},
    {"AttentionBias", field("attention_bias", "true"), {}, {path, "attention_bias"}},
    {"OddRopeDimension",
     field("qk_rope_head_dim", "5"),
     {},
     {path, "qk_rope_head_dim", "is 5", "even"}},
    {"NormEpsilonNegative", field("rms_norm_eps", "-1e-6"), {}, {path, "rms_norm_eps"}},
    {"NormEpsilonIsAText", field("rms_norm_eps", "\"NaN\""), {}, {path, "rms_norm_eps", "NaN"}},
    {"ThetaZero", field("rope_theta", "0"), {}, {path, "rope_theta"}},
    {"ContextZero", field("max_position_embeddings", "0"), {}, {path, "max_position_embeddings"}},
    {"RopeOfAnotherKind",
     field("rope_scaling.type", "\"longrope\""),
     {},
     {path, "rope_scaling", "longrope"}},
    {"RopeScalingIsAList", field("rope_scaling", "[1]"), {}, {path, "rope_scaling"}},
    {"YarnFactorMissing",
     field("rope_scaling.type", "\"yarn\""),
     {},
     {path, "rope_scaling", "factor", "missing"}},
    {"YarnFactorIsNan", yarn("factor", "\"NaN\""), {}, {path, "rope_scaling.factor", "NaN"}},
    {"YarnFactorZero", yarn("factor", "0"), {}, {path, "rope_scaling.factor", "is 0"}},
    {"YarnBetasReversed",
     yarn("beta_fast", "0.5"),
     {},
     {path, "rope_scaling.beta_fast", "0.5", "beta_slow"}},
    {"YarnWithoutAnOriginalContext",
     yarn("original_max_position_embeddings", "0"),
     {},
     {path, "original_max_position_embeddings"}},
    {"QuantisationOfAnotherKind",
     field("quantization_config.quant_method", "\"gptq\""),
     {},
     {path, "quantization_config", "gptq"}},
    {"QuantisationWithoutBlocks",
     field("quantization_config.quant_method", "\"fp8\""),
     {},
     {path, "weight_block_size"}},
    {"ManyMtpModules",
     field("num_nextn_predict_layers", "1000000"),
     {},
     {path, "num_nextn_predict_layers"}},
    {"BosOutsideTheVocabulary",
     field("bos_token_id", "32"),
     {},
     {path, "bos_token_id", "32", "31"}},
    {"EosListHoldsAText", field("eos_token_id", "[1, \"2\"]"), {}, {path, "eos_token_id"}},
    {"TiedIsANumber", field("tie_word_embeddings", "3"), {}, {path, "tie_word_embeddings", "3"}},
};

std::vector<Fault> faults() {
  std::vector<Fault> all;
  for (const Fault& fault : kTable) add_for_each(all, fault, kReaders, "{\"ids\": [0]}\n");
  const auto generation = [&](const std::string& name, const std::string& content,
                              std::vector<std::string> says) {
    says.push_back("{}/generation_config.json");
    all.push_back({name,
                   default_model(put("generation_config.json", content)),
                   {"score", "--model", "{}"},
                   std::move(says),
                   1,
                   "{\"ids\": [0]}\n"});
  };
  generation("GenerationConfigIsNoJson", "{\"temperature\"", {"JSON"});
  generation("GenerationConfigIsAList", "[]", {"an array"});
  generation("GenerationTemperatureNegative", "{\"temperature\": -1}", {"temperature", "-1"});
  generation("GenerationTopPIsAText", "{\"top_p\": \"high\"}", {"top_p", "a string"});
  generation("GenerationEosOutsideTheVocabulary", "{\"eos_token_id\": [1, 99999]}",
             {"eos_token_id", "99999"});
  return all;
}

class ConfigFault : public FaultTest {};
TEST_P(ConfigFault, IsAnsweredByOneSentence) { expect_one_sentence(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Faults, ConfigFault, ::testing::ValuesIn(faults()), fault_name);

}  // namespace
}  // namespace fathom::test
