// Checkpoints of which one thing is broken: a tensor, the bytes or the header of the file, the
// index of the shards.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tests/support/faults.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/tiny_model.h"

namespace fathom::test {

using testing_support::kTinyConfig;
using testing_support::kTinyFp8Config;
using testing_support::TinyTensor;
using testing_support::TinyTensors;

inline const std::string kOne = "model.safetensors";
inline const std::string kIndex = "model.safetensors.index.json";
inline const std::string kFirst = "model-00001-of-000002.safetensors";
inline const std::string kSecond = "model-00002-of-000002.safetensors";
inline const std::vector<std::vector<std::string>> kReaders = {{"inspect", "{}"},
                                                               {"score", "--model", "{}"}};
// The input of those that read one.
inline constexpr std::string_view kScored = "{\"ids\": [0, 5, 9]}\n";

inline TinyTensors tensors_of(std::string_view config) {
  const auto parsed = parse_model_config(config, "config.json");
  FATHOM_CHECK(parsed.ok(), config);
  return testing_support::tiny_tensors(*parsed, Dtype::kBF16, 7);
}

inline void put_model(const TempDir& folder, std::string_view config, const TinyTensors& tensors) {
  folder.write("config.json", config);
  testing_support::write_tensors(folder.file(kOne), tensors);
}

// A checkpoint in which one tensor, or the list of them, is not what it should be.
inline Break tensors(std::function<void(TinyTensors&)> change,
                     std::string_view config = kTinyConfig) {
  return [=](const TempDir& folder) {
    TinyTensors all = tensors_of(config);
    change(all);
    put_model(folder, config, all);
  };
}

// The bytes of the file of weights changed.
inline Break bytes(std::function<void(std::string&)> change) {
  return [=](const TempDir& folder) {
    put_model(folder, kTinyConfig, tensors_of(kTinyConfig));
    std::string file = read_file(folder.file(kOne));
    change(file);
    folder.write(kOne, file);
  };
}

// The text of the header changed, its length with it.
inline Break header(std::function<void(std::string&)> change) {
  return bytes([=](std::string& file) {
    size_t length = 0;
    for (size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(file[i]);
    std::string text = file.substr(8, length);
    change(text);
    file = testing_support::safetensors_bytes(testing_support::padded(text),
                                              std::string_view(file).substr(8 + length));
  });
}

inline void replace_first(std::string& text, const std::string& what, const std::string& with) {
  const size_t at = text.find(what);
  FATHOM_CHECK(at != std::string::npos, what);
  text.replace(at, what.size(), with);
}

// One entry of the header changed.
inline Break entry(const std::string& tensor, std::function<void(Json&)> change) {
  return header([=](std::string& text) {
    Json json = parse_json(text).value();
    Json found = *json.find(tensor);
    change(found);
    json.set(tensor, std::move(found));
    text = json.dump();
  });
}

inline Json extents(std::vector<int64_t> values) {
  Json json = Json::array();
  for (const int64_t value : values) json.push_back(value);
  return json;
}

// Two shards, the first of the first ten tensors, with an index that is changed.
inline Break sharded(std::function<void(Json& index)> change,
                     std::function<void(const TempDir&)> then = {}) {
  return [=](const TempDir& folder) {
    folder.write("config.json", kTinyConfig);
    const TinyTensors all = tensors_of(kTinyConfig);
    const auto middle = all.begin() + 10;
    testing_support::write_tensors(folder.file(kFirst), TinyTensors(all.begin(), middle));
    testing_support::write_tensors(folder.file(kSecond), TinyTensors(middle, all.end()));
    Json map = Json::object();
    int64_t total = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      map.set(all[i].spec.name, i < 10 ? kFirst : kSecond);
      total += static_cast<int64_t>(all[i].bytes.size());
    }
    Json metadata = Json::object();
    metadata.set("total_size", total);
    Json index = Json::object();
    index.set("metadata", std::move(metadata));
    index.set("weight_map", std::move(map));
    change(index);
    folder.write(kIndex, index.dump());
    if (then) then(folder);
  };
}

inline Break index_entry(const std::string& tensor, const Json& file) {
  return sharded([=](Json& index) {
    Json map = *index.find("weight_map");
    map.set(tensor, file);
    index.set("weight_map", std::move(map));
  });
}

inline void nothing(Json&) {}

inline const std::string kEmbed = "model.embed_tokens.weight";
inline const std::string kNorm = "model.norm.weight";
inline const std::string kGate = "model.layers.1.mlp.gate.weight";
inline const std::string kDown = "model.layers.0.mlp.down_proj.weight";

}  // namespace fathom::test
