// Tokenizers for tests: V3's as published, and small ones written as Json so that each test can
// break one thing.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "io/json.h"
#include "tests/support/xz.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"

namespace fathom::test {

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

// testdata is FATHOM_TESTDATA.
inline const Tokenizer& v3_tokenizer(const std::string& testdata) {
  static const Tokenizer tokenizer = [&] {
    Result<Tokenizer> result =
        Tokenizer::from_json(read_xz(testdata + "/tokenizer/tokenizer.json.xz"),
                             read_text(testdata + "/tokenizer/tokenizer_config.json"));
    if (!result.ok()) ADD_FAILURE() << result.error().message;
    return std::move(result).value();
  }();
  return tokenizer;
}

// A whole tokenizer.json: ids 0..255 are the bytes, 256 "he", 257 "hel", 258 "ll", 259 "hell"; 260
// <s> and 261 </s>, special; 262 <tool>, not special. Splits at blanks by ByteLevel's own pattern.
inline Json small_tokenizer_json() {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    vocab.as_object().emplace_back(piece_of_bytes(std::string_view(&c, 1)), Json(byte));
  }
  int id = 256;
  for (const char* piece : {"he", "hel", "ll", "hell"})
    vocab.as_object().emplace_back(piece, Json(id++));
  Json merges = Json::array();
  for (const char* merge : {"h e", "l l", "he ll", "he l"}) merges.push_back(Json(merge));
  Json added = Json::array();
  for (const char* content : {"<s>", "</s>", "<tool>"}) {
    Json token = Json::object();
    token.set("id", Json(id++));
    token.set("content", Json(content));
    token.set("special", Json(content != std::string("<tool>")));
    added.push_back(std::move(token));
  }
  Json model = Json::object();
  model.set("type", Json("BPE"));
  model.set("vocab", std::move(vocab));
  model.set("merges", std::move(merges));
  Json byte_level = Json::object();
  byte_level.set("type", Json("ByteLevel"));
  byte_level.set("add_prefix_space", Json(false));
  Json decoder = Json::object();
  decoder.set("type", Json("ByteLevel"));
  Json json = Json::object();
  json.set("added_tokens", std::move(added));
  json.set("pre_tokenizer", std::move(byte_level));
  json.set("decoder", std::move(decoder));
  json.set("model", std::move(model));
  return json;
}

}  // namespace fathom::test
