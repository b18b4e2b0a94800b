// Goal: what is written in a type reads back as near as the type can say it; what it cannot say is
// an error. Method: rows of many kinds through the writers and the kernels' own readers, with error
// bounds from the number of bits.
#include "model/encoded_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

#include "base/math.h"
#include "io/mapped_file.h"
#include "kernels/linear.h"
#include "tensor/gguf_blocks.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace fathom {
namespace {

constexpr Dtype kTypes[] = {Dtype::kQ8_0, Dtype::kQ4_0, Dtype::kQ4_K, Dtype::kQ5_K, Dtype::kQ6_K};
constexpr int64_t kK = 512;

std::vector<float> through(Dtype dtype, const std::vector<float>& row) {
  std::vector<std::byte> blocks(static_cast<size_t>(matrix_bytes(dtype, 1, kK)));
  write_blocks(dtype, row.data(), kK, blocks.data());
  for (int64_t i = 0; i < matrix_bytes(dtype, 1, kK); i += dtype_block(dtype).bytes)
    EXPECT_TRUE(is_finite_gguf_block(dtype, blocks.data() + i)) << dtype_name(dtype);
  const LinearWeight weight = {.dtype = dtype, .n = 1, .k = kK, .data = blocks.data()};
  std::vector<float> out(kK);
  weight_row(Isa::kRef, weight, 0, out.data());
  return out;
}

// Root of the mean squared error, relative to that of the values.
double relative_error(const std::vector<float>& is, const std::vector<float>& should) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < is.size(); ++i) {
    error += std::pow(double{is[i]} - should[i], 2);
    norm += std::pow(double{should[i]}, 2);
  }
  return norm == 0 ? error : std::sqrt(error / norm);
}

// Of a mapped file: how many of its bytes are in this process's memory.
int64_t bytes_present(std::span<const std::byte> bytes) {
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool inside = false;
  for (int64_t kb = 0; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2)
      inside = begin == reinterpret_cast<uintptr_t>(bytes.data());
    if (inside && std::sscanf(line.c_str(), "Rss: %ld kB", &kb) == 1) return kb << 10;
  }
  ADD_FAILURE() << "no such mapping";
  return 0;
}

// No panel of 6,400 bytes ends where a page does: what is let go must not leave the borders.
TEST(EncodedRows, PagesThatWereReadAreLetGo) {
  const testing_support::TempFolder folder;
  constexpr int64_t kRows = 1000, kColumns = 100;
  testing_support::put_file(folder / "m", std::string(kRows * kColumns * 4, '\0'));
  const auto file = MappedFile::open(folder / "m");
  ASSERT_TRUE(file.ok());
  const Tensor matrix = {Dtype::kF32, {kRows, kColumns}, file->bytes().data()};
  Pool pool(2);
  std::vector<std::byte> scratch(3 * kPackedRows * kColumns * 2);
  int64_t bytes = 0;
  TensorSink sink(pool, scratch, [&](std::span<const std::byte> piece) -> Status {
    bytes += static_cast<int64_t>(piece.size());
    return {};
  });
  const auto rows = std::make_shared<const MatrixRows>(matrix, nullptr);
  ASSERT_TRUE(encoded(all_rows(rows), Dtype::kBF16, "m")(sink).ok());
  EXPECT_EQ(bytes, kRows * kColumns * 2);
  EXPECT_LE(bytes_present(file->bytes()), 4096);
}

TEST(GgufBlocks, RandomRows) {
  // Rounding to steps of 2 / 2^bits of a uniform row leaves 1 / 2^bits of its size; K-quants lose
  // some more to scales of six or eight bits.
  const std::pair<Dtype, double> limits[] = {{Dtype::kQ8_0, 1.0 / 254},
                                             {Dtype::kQ4_0, 1.0 / 14},
                                             {Dtype::kQ4_K, 1.0 / 14},
                                             {Dtype::kQ5_K, 1.0 / 29},
                                             {Dtype::kQ6_K, 1.0 / 56}};
  testing_support::TinyRandom random(3);
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<float> row(kK);
    const float size = std::exp(8 * random.uniform());
    for (float& value : row) value = size * random.uniform();
    for (const auto& [dtype, limit] : limits)
      EXPECT_LT(relative_error(through(dtype, row), row), limit) << dtype_name(dtype);
  }
}

TEST(GgufBlocks, RowsAtTheEdge) {
  const auto constant = [](float value) { return std::vector<float>(kK, value); };
  for (const Dtype dtype : kTypes) {
    SCOPED_TRACE(dtype_name(dtype));
    EXPECT_EQ(through(dtype, constant(0)), constant(0));
    for (const float value : {1.0f, -1.0f, 3e-2f, 1e5f})
      EXPECT_LT(relative_error(through(dtype, constant(value)), constant(value)), 0.02) << value;
    // Too small for a scale in F16: nothing, not noise.
    EXPECT_LE(std::fabs(through(dtype, constant(1e-20f))[0]), 1e-20f);
    // Too large for one: the largest, not an infinity.
    EXPECT_TRUE(std::isfinite(through(dtype, constant(1e30f))[0]));
    std::vector<float> spike = constant(0);
    spike[5] = -7;
    EXPECT_NEAR(through(dtype, spike)[5], -7, 0.1);
    EXPECT_EQ(through(dtype, spike)[6 + 256], 0);
  }
}

TEST(EncodedRows, ValuesThatATypeCannotSay) {
  const auto error_of = [](float value, Dtype dtype) {
    std::vector<float> row(kK, value);
    RowUnits units;
    units.n_units = 1;
    units.rows_max = 1;
    units.k = kK;
    units.rows_of = [](int64_t) { return int64_t{1}; };
    units.fill = [&](int64_t, float* out) { std::copy(row.begin(), row.end(), out); };
    Pool pool(1);
    std::vector<std::byte> scratch(kK * 4);
    TensorSink sink(pool, scratch, [](std::span<const std::byte>) { return Status(); });
    const Status status = encoded(std::move(units), dtype, "tensor x")(sink);
    return status.ok() ? std::string() : status.error().message;
  };
  EXPECT_EQ(error_of(70000, Dtype::kBF16), "");
  EXPECT_EQ(error_of(70000, Dtype::kF16),
            "tensor x holds a value that F16 cannot say: not finite, or larger than 65504");
  // Beyond a scale in F16 they would be made smaller.
  EXPECT_EQ(error_of(8319008, Dtype::kQ8_0), "");
  EXPECT_NE(error_of(8319010, Dtype::kQ8_0), "");
  for (const Dtype dtype : {Dtype::kQ4_0, Dtype::kQ4_K, Dtype::kQ5_K, Dtype::kQ6_K}) {
    EXPECT_EQ(error_of(524032, dtype), "") << dtype_name(dtype);
    EXPECT_NE(error_of(-1e30f, dtype), "") << dtype_name(dtype);
    EXPECT_LT(relative_error(through(dtype, std::vector<float>(kK, 524032)),
                             std::vector<float>(kK, 524032)),
              0.02)
        << dtype_name(dtype);
  }
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16, Dtype::kQ8_0, Dtype::kQ4_K}) {
    EXPECT_NE(error_of(std::numeric_limits<float>::quiet_NaN(), dtype), "");
    EXPECT_NE(error_of(std::numeric_limits<float>::infinity(), dtype), "");
  }
}

}  // namespace
}  // namespace fathom
