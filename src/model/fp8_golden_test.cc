// Goal: FP8 arithmetic is that of the published models: activations in 1x128 tiles, weights in
// 128x128 blocks, sums of 128 promoted. Method: one layer alone against results of an independent
// program (../shared/reference/models), whose rows hold zeros, tiny, huge and spiky values.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/mapped_file.h"
#include "io/safetensors.h"
#include "kernels/linear.h"

namespace fathom {
namespace {

// The tensors of a folder's *.safetensors by name, with the files they point into.
struct Folder {
  std::vector<MappedFile> files;
  std::vector<NamedTensor> tensors;

  const Tensor* find(const std::string& name) const {
    for (const NamedTensor& named : tensors) {
      if (named.name == name) return &named.tensor;
    }
    return nullptr;
  }
};

Result<Folder> open_folder(const std::string& path) {
  Folder folder;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() != ".safetensors") continue;
    FATHOM_TRY(auto file, MappedFile::open(entry.path().string()));
    FATHOM_TRY(auto parsed, parse_safetensors(file.bytes(), entry.path().string()));
    for (NamedTensor& named : parsed.tensors) folder.tensors.push_back(std::move(named));
    folder.files.push_back(std::move(file));
  }
  return folder;
}

TEST(Fp8Golden, OneLayerEqualsTheReference) {
  const std::string root = FATHOM_SHARED "/reference/models/";
  if (!std::filesystem::exists(root)) GTEST_SKIP() << root << " is not there";
  for (const auto& [name, format] : {std::pair("v3-fp8", InputFormat::kFp8),
                                     std::pair("v3-fp8-ue8m0", InputFormat::kFp8Ue8m0)}) {
    auto folder = open_folder(root + name);
    ASSERT_TRUE(folder.ok()) << folder.error().message;
    const std::string layer = "model.layers.0.mlp.gate_proj.weight";
    const Tensor* weight = folder->find(layer);
    const Tensor* scales = folder->find(layer + "_scale_inv");
    const Tensor* x = folder->find("linear.x");
    const Tensor* y = folder->find("linear.y");
    ASSERT_TRUE(weight != nullptr && scales != nullptr && x != nullptr && y != nullptr) << name;
    ASSERT_EQ(weight->dtype, Dtype::kF8E4M3);
    const LinearWeight w{weight->dtype, weight->shape[0],    weight->shape[1],
                         weight->data,  scales->as<float>(), 1};
    const int64_t m = x->shape[0];
    for (Isa isa : available_isas()) {
      Pool pool(1);
      LinearInput input(m, w.k);
      input.prepare({isa, &pool}, x->as<float>(), w.k, m, w.k, format);
      std::vector<float> result(static_cast<size_t>(m * w.n)), row(static_cast<size_t>(w.k));
      linear({isa, &pool}, input, w, result.data(), w.n);
      for (int64_t n = 0; n < w.n; ++n) {
        weight_row(isa, w, n, row.data());
        for (int64_t i = 0; i < m; ++i) {
          double magnitude = 0;
          for (int64_t k = 0; k < w.k; ++k) {
            const double tile = input.scales(i)[k / 128];
            magnitude += std::fabs(input.value(i, k) * tile * row[static_cast<size_t>(k)]);
          }
          // At most 16 fmas a lane and block, log2(16) + 4 more for the promotion and the lanes'
          // sum.
          const double tolerance = 24 * 0x1p-24 * magnitude;
          ASSERT_NEAR(result[static_cast<size_t>(i * w.n + n)], y->as<float>()[i * w.n + n],
                      tolerance)
              << name << " " << isa_name(isa) << " row " << i << " column " << n;
        }
      }
    }
  }
}

}  // namespace
}  // namespace fathom
