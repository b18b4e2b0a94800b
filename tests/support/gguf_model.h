// GGUF files of a tiny model, tensor by tensor, so that a test can break any part.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "io/gguf.h"
#include "model/gguf_config.h"
#include "tests/support/tiny_model.h"

namespace fathom::testing_support {

struct GgufModelFile {
  GgufMetadataBuilder metadata;
  TinyTensors tensors;  // under GGUF names
};

inline void write_gguf(const std::string& path, const GgufModelFile& file) {
  std::vector<TensorSpec> specs;
  for (const TinyTensor& tensor : file.tensors) specs.push_back(tensor.spec);
  auto writer = GgufWriter::create(path, file.metadata, specs, true);
  FATHOM_CHECK(writer.ok(), writer.ok() ? "" : writer.error().message);
  for (size_t i = 0; i < file.tensors.size(); ++i)
    FATHOM_CHECK(writer->write(i, std::as_bytes(std::span(file.tensors[i].bytes))).ok(), path);
  FATHOM_CHECK(writer->finish().ok(), path);
}

}  // namespace fathom::testing_support
