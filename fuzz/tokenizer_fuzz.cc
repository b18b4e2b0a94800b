// tokenizer.json and tiktoken.model from any bytes; and text of any kind there and back with a good
// tokenizer. The first byte of the input chooses which.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/utf8.h"
#include "io/json.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/stream_decoder.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/v3_scanner.h"

namespace {

using fathom::Tokenizer;

// The 256 bytes and a few merges, with the given pre-tokenizer.
Tokenizer make_tokenizer(const std::string& pre_tokenizer) {
  std::string json =
      R"({"decoder":{"type":"ByteLevel"},"pre_tokenizer":)" + pre_tokenizer +
      R"(,"added_tokens":[{"id":260,"content":"<s>","special":true},{"id":261,"content":"<t>"}],)"
      R"("model":{"type":"BPE","merges":["a a","aa a","b a","aa aa"],"vocab":{"aa":256,"aaa":257,"ba":258,"aaaa":259)";
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    json += ',';
    fathom::append_json_string(json, fathom::piece_of_bytes(std::string_view(&c, 1)));
    json += ':' + std::to_string(byte);
  }
  auto result = Tokenizer::from_json(json + "}}}", R"({"bos_token":"<s>","add_bos_token":true})");
  FATHOM_CHECK(result.ok(), result.error().message);
  return std::move(result).value();
}

void there_and_back(const Tokenizer& tokenizer, std::string_view text) {
  for (const bool recognize : {true, false}) {
    const auto ids = tokenizer.encode(text, {.add_special = false, .recognize_added = recognize});
    std::string bytes, streamed;
    fathom::StreamDecoder stream(tokenizer, false);
    for (const int32_t id : ids) {
      bytes += tokenizer.token_bytes(id);
      stream.push(id, streamed);
    }
    stream.finish(streamed);
    FATHOM_CHECK(bytes == text);
    const std::string decoded = tokenizer.decode(ids, false);
    FATHOM_CHECK(streamed == decoded);
    FATHOM_CHECK(fathom::is_valid_utf8(decoded));
    if (fathom::is_valid_utf8(text)) FATHOM_CHECK(decoded == text);
  }
}

// V3's three patterns, which the scanner does.
std::string v3_pre_tokenizer() {
  std::string json = R"({"type":"Sequence","pretokenizers":[)";
  for (const std::string_view pattern : fathom::kV3Patterns) {
    json += R"({"type":"Split","behavior":"Isolated","pattern":{"Regex":)";
    fathom::append_json_string(json, pattern);
    json += "}},";
  }
  return json + R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Tokenizer by_pattern =
      make_tokenizer(R"({"type":"ByteLevel","add_prefix_space":false})");
  static const Tokenizer by_scanner = make_tokenizer(v3_pre_tokenizer());
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 4 == 0) {
    if (auto result = Tokenizer::from_json(text, ""); result.ok())
      (void)result->encode("Hello 123 \xff");
  } else if (data[0] % 4 == 1) {
    if (auto result = Tokenizer::from_tiktoken(text, ""); result.ok())
      (void)result->encode("Hello 123 \xff");
  } else if (data[0] % 4 == 2) {
    // A pattern on a good tokenizer, then text through it.
    std::string pre =
        R"({"type":"Sequence","pretokenizers":[{"type":"Split","behavior":"Isolated","pattern":{"Regex":)";
    fathom::append_json_string(pre, text.substr(0, 80));
    pre += R"(}},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})";
    std::string json = R"({"decoder":{"type":"ByteLevel"},"pre_tokenizer":)" + pre +
                       R"(,"model":{"merges":[],"vocab":{}}})";
    (void)Tokenizer::from_json(json, "");
  } else {
    there_and_back(by_pattern, text);
    there_and_back(by_scanner, text);
  }
  return 0;
}
