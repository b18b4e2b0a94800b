// Goal: wrong flags, and flags that this machine or this model cannot follow, are refused before
// anything is done. Method: the program itself on the default model; the folder of a fault holds a
// line to score and a file that exists.
#include <gtest/gtest.h>

#include "tests/support/faults.h"

namespace fathom::test {
namespace {

void prepare(const TempDir& folder) {
  folder.write("in.jsonl", "{\"ids\": [0, 1]}\n");
  folder.write("there.safetensors", "do not lose me");
  folder.write("model.gguf", "GGUF");
  folder.write("model.safetensors", "12345678");
}

using Words = std::vector<std::string>;

Words score(Words options) {
  options.insert(options.begin(), "score");
  options.push_back("{}/in.jsonl");
  return options;
}

std::vector<Fault> usage_faults() {
  return {
      {"UnknownCommand", {}, {"scoer"}, {"'scoer'", "'score'"}},
      {"UnknownOption", {}, score({"--thraeds", "2"}), {"'--thraeds'", "'--threads'"}},
      {"OptionWithoutItsValue", {}, {"score", "--threads"}, {"--threads"}},
      {"OptionGivenTwice", {}, score({"--threads", "1", "--threads", "2"}), {"--threads"}},
      {"FlagWithAValue", {}, score({"--quiet=7"}), {"--quiet takes no value"}},
      {"ThreadsZero", {}, score({"--threads", "0"}), {"--threads", "'0'", "1 to 4096"}},
      {"ThreadsNegative", {}, score({"--threads", "-1"}), {"--threads", "'-1'"}},
      {"ThreadsBeyondAllNumbers", {}, score({"--threads", "99999999999999999999"}), {"--threads"}},
      {"ThreadsInWords", {}, score({"--threads", "two"}), {"--threads", "'two'"}},
      {"ContextZero", {}, score({"--context", "0"}), {"--context", "'0'"}},
      {"ContextWithAFraction", {}, score({"--context", "1.5"}), {"--context", "'1.5'"}},
      {"ChunkZero", {}, score({"--chunk", "0"}), {"--chunk", "'0'"}},
      {"ChunkNegative", {}, score({"--chunk", "-8"}), {"--chunk", "'-8'"}},
      {"MemoryWithoutANumber", {}, score({"--max-memory", "GiB"}), {"--max-memory", "GiB"}},
      {"MemoryOfAnUnknownUnit", {}, score({"--max-memory", "16GX"}), {"--max-memory", "16GX"}},
      {"MemoryNegative", {}, score({"--max-memory", "-1GB"}), {"--max-memory", "-1GB"}},
      {"MemoryBeyondAllNumbers", {}, score({"--max-memory", "99999999999TB"}), {"--max-memory"}},
      {"MemoryNan", {}, score({"--max-memory", "nan"}), {"--max-memory", "nan"}},
      {"UnknownInstructionSet", {}, score({"--isa", "mmx"}), {"--isa", "mmx", "avx2"}},
      {"UnknownActivations", {}, score({"--activations", "fp4"}), {"--activations", "fp4", "bf16"}},
      {"UnknownPrecisionOfTheCache",
       {},
       score({"--kv-dtype", "f64"}),
       {"--kv-dtype", "f64", "bf16"}},
      {"UnknownAttention",
       {},
       score({"--attention", "flash"}),
       {"--attention", "flash", "absorbed"}},
      {"UnknownLogLevel", {}, score({"--log-level", "loud"}), {"--log-level", "loud", "debug"}},
      {"ModelIsEmpty", {}, score({"--model="}), {"--model", "empty"}},
      {"DecodeWithAddSpecial",
       {},
       {"tokenize", "--decode", "--add-special"},
       {"--add-special", "--decode"}},
      {"SkipSpecialWithoutDecode",
       {},
       {"tokenize", "--skip-special"},
       {"--skip-special", "--decode"}},
      {"VerifyOfAConfig", {}, {"inspect", "--verify", "{}/in.jsonl"}, {"--verify"}},
      {"LayersWithoutAPlus",
       {},
       {"bench", "--config", FATHOM_TESTDATA "/configs/v3.json", "--random", "bf16", "--layers",
        "3"},
       {"--layers", "'3'"}},
      {"TwoPathsToInspect", {}, {"inspect", "a", "b"}, {"'b'"}},
      {"CompletionForAnUnknownShell", {}, {"completion", "tcsh"}, {"tcsh"}},
      {"ControlCharactersInACommand", {}, {"\x1b[2Jscore"}, {"\\u001b"}},
  };
}

std::vector<Fault> machine_faults() {
  return {
      {"ModelDoesNotExist", {}, score({"--model", "{}/nothing"}), {"{}/nothing"}},
      {"ModelIsAFile", {}, score({"--model", "{}/in.jsonl"}), {"{}/in.jsonl", "folder"}},
      {"ModelIsAGguf", {}, score({"--model", "{}/model.gguf"}), {"{}/model.gguf", "GGUF"}},
      {"ModelIsOneFileOfTensors",
       {},
       {"inspect", "{}/model.safetensors"},
       {"{}/model.safetensors", "folder"}},
      {"MemoryTooLittleForTheModel",
       {},
       score({"--max-memory", "1MB"}),
       {"--max-memory", "1 MB", "give more"}},
      {"ContextBeyondTheModels",
       {},
       score({"--context", "100000"}),
       {"--context", "100000", "1024"}},
      {"InputDoesNotExist", {}, {"score", "{}/nothing.jsonl"}, {"{}/nothing.jsonl"}},
      {"InputIsAFolder", {}, {"score", "{}"}, {"{}", "a folder"}},
      {"SecondInputDoesNotExist",
       {},
       {"score", "{}/in.jsonl", "{}/nothing.jsonl"},
       {"{}/nothing.jsonl"}},
      {"TextDoesNotExist", {}, {"tokenize", "{}/nothing.txt"}, {"{}/nothing.txt"}},
      {"TemplateDoesNotExist",
       {},
       {"template", "--template", "{}/nothing.jinja"},
       {"{}/nothing.jinja"}},
      {"LogitsExistAlready",
       {},
       score({"--logits", "{}/there.safetensors"}),
       {"{}/there.safetensors", "--force"}},
      {"LogitsIntoNoFolder",
       {},
       score({"--logits", "{}/no/l.safetensors"}),
       {"{}/no/l.safetensors"}},
      {"LogitsIntoADevice",
       {},
       score({"--force", "--logits", "/dev/full"}),
       {"/dev/full", "device"}},
      {"LogitsIntoAFolder", {}, score({"--force", "--logits", "{}"}), {"{}", "directory"}},
      {"TraceExistsAlready",
       {},
       score({"--trace", "{}/there.safetensors"}),
       {"{}/there.safetensors", "--force"}},
      {"TextThatIsNotUtf8", {}, {"tokenize"}, {"UTF-8", "byte 3"}, 1, "abc\xff"},
      {"WordThatIsNoId", {}, {"tokenize", "--decode"}, {"\"twelve\"", "token id"}, 1, "3 twelve 4"},
      {"IdOutsideTheVocabulary", {}, {"tokenize", "--decode"}, {"99999"}, 1, "3 99999"},
      {"IdNegative", {}, {"tokenize", "--decode"}, {"-1"}, 1, "3 -1"},
  };
}

std::vector<Fault> all_faults() {
  std::vector<Fault> faults;
  for (Fault fault : usage_faults()) {
    fault.exit_code = 2;
    faults.push_back(std::move(fault));
  }
  for (Fault fault : machine_faults()) faults.push_back(std::move(fault));
  for (Fault& fault : faults) fault.breaks = prepare;
  return faults;
}

class FlagFault : public FaultTest {};
TEST_P(FlagFault, IsAnsweredByOneSentence) { expect_one_sentence(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Faults, FlagFault, ::testing::ValuesIn(all_faults()), fault_name);

}  // namespace
}  // namespace fathom::test
