#include "model/random_weights.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>

#include "base/math.h"
#include "base/mix64.h"
#include "model/parameters.h"
#include "model/weights.h"
#include "tensor/buffer.h"
#include "tensor/numeric.h"
#include "tensor/packed.h"

namespace fathom {

namespace {

constexpr int64_t kPieceElements = int64_t{1} << 20;  // of one task
constexpr int64_t kPiecesPerRegion = 64;              // between two calls of progress

// The normal distribution as its 256 equally likely values: a random byte picks one. The largest is
// kNormalMax.
constexpr double kNormalMax = 2.886;
std::array<double, 256> normal_quantiles() {
  std::array<double, 256> out;
  for (size_t i = 0; i < out.size(); ++i) {
    const double p = (static_cast<double>(i) + 0.5) / 256;
    double low = -4, high = 4;
    for (int step = 0; step < 60; ++step) {
      const double middle = 0.5 * (low + high);
      (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
    }
    out[i] = 0.5 * (low + high);
  }
  return out;
}

// Of one tensor: value = center + deviation * normal.
struct Distribution {
  double center = 0;
  double deviation = 1;
};

bool is_scale(std::string_view name) { return name.ends_with("_scale_inv"); }

// Norms near one, biases that move a few choices, embeddings of unit size, and matrices that keep
// the size of what they are given (so router logits are of unit size, and affinities differ).
Distribution distribution_of(const TensorSpec& spec) {
  if (spec.name.ends_with("e_score_correction_bias")) return {0, 0.01};
  if (spec.shape.size() == 1) return {1, 0.1};
  if (spec.name == "model.embed_tokens.weight") return {0, 1};
  return {0, 1 / std::sqrt(static_cast<double>(spec.shape[1]))};
}

// A tensor that is being filled: the code of each random byte.
struct Plan {
  uint64_t key = 0;
  int64_t element_bytes = 0;
  std::array<uint32_t, 256> codes;
};

Plan plan_tensor(const TensorSpec& spec, const std::array<double, 256>& normal, uint64_t seed) {
  Plan plan{
      .key = mix64_key(seed, spec.name), .element_bytes = dtype_size(spec.dtype), .codes = {}};
  const Distribution d = distribution_of(spec);
  for (size_t i = 0; i < normal.size(); ++i) {
    const float value = static_cast<float>(d.center + d.deviation * normal[i]);
    switch (spec.dtype) {
      case Dtype::kF8E4M3:  // quantised so that the largest value of a block is 448
        plan.codes[i] = f32_to_e4m3(static_cast<float>(normal[i] * (448 / kNormalMax)));
        break;
      case Dtype::kBF16:
        plan.codes[i] = f32_to_bf16(value);
        break;
      case Dtype::kF16:
        plan.codes[i] = f32_to_f16(value);
        break;
      default:
        FATHOM_CHECK(spec.dtype == Dtype::kF32, dtype_name(spec.dtype));
        plan.codes[i] = std::bit_cast<uint32_t>(value);
        break;
    }
  }
  return plan;
}

template <typename Code>
void fill_codes(const Plan& plan, int64_t begin, int64_t end, Code* out) {
  for (int64_t i = begin; i < end; i += 8) {
    uint64_t bits = mix64(plan.key + static_cast<uint64_t>(i / 8));
    const int64_t n = std::min<int64_t>(8, end - i);
    for (int64_t j = 0; j < n; ++j, bits >>= 8)
      out[i + j] = static_cast<Code>(plan.codes[bits & 0xff]);
  }
}

void fill(const Plan& plan, int64_t begin, int64_t end, std::byte* data) {
  switch (plan.element_bytes) {
    case 1:
      return fill_codes(plan, begin, end, reinterpret_cast<uint8_t*>(data));
    case 2:
      return fill_codes(plan, begin, end, reinterpret_cast<uint16_t*>(data));
    default:
      return fill_codes(plan, begin, end, reinterpret_cast<uint32_t*>(data));
  }
}

// The scales of a weight: what gives its values the deviation of its distribution, times 0.75
// to 1.25 from block to block. Powers of two where the config asks for them.
void fill_scales(const TensorSpec& scale, const TensorSpec& weight, bool ue8m0, uint64_t seed,
                 float* out) {
  const uint64_t key = mix64_key(seed, scale.name);
  const double base = distribution_of(weight).deviation / (448 / kNormalMax);
  for (int64_t i = 0; i < scale.shape[0] * scale.shape[1]; ++i) {
    const double uniform =
        static_cast<double>(mix64(key + static_cast<uint64_t>(i)) >> 40) * 0x1p-24;
    const double value = base * (0.75 + 0.5 * uniform);
    out[i] = static_cast<float>(ue8m0 ? std::exp2(std::rint(std::log2(value))) : value);
  }
}

// The blocks of a packed weight: codes that look like quantised normal (INT8) or uniform (INT4)
// values, and scales that give them the deviation of its distribution, as fill_scales() does. What
// is beyond the matrix is random too: it meets no input.
class PackedPlan {
 public:
  PackedPlan(const TensorSpec& spec, const std::array<double, 256>& normal, uint64_t seed)
      : dtype_(spec.dtype),
        codes_key_(mix64_key(seed, spec.name)),
        scales_key_(mix64_key(seed, spec.name + " scales")) {
    const bool int8 = dtype_ == Dtype::kInt8;
    // Of a code without a scale: 127 stands for kNormalMax; sixteen uniform codes.
    const double deviation = int8 ? 127 / kNormalMax : std::sqrt((16 * 16 - 1) / 12.0);
    scale_ = distribution_of(spec).deviation / deviation;
    for (size_t i = 0; i < normal.size(); ++i) {
      codes_[i] = int8 ? static_cast<uint8_t>(128 + std::lrint(normal[i] * (127 / kNormalMax)))
                       : static_cast<uint8_t>(i);
    }
  }

  void fill(int64_t block, std::byte* out) const {
    const DtypeBlock size = dtype_block(dtype_);
    fill_block_scales(block, out);
    const int64_t n_words = (size.bytes - kHeaderBytes) / 8;
    for (int64_t i = 0; i < n_words; ++i) {
      uint64_t bits = mix64(codes_key_ + static_cast<uint64_t>(block * n_words + i));
      std::byte* const eight = out + kHeaderBytes + i * 8;
      for (int64_t j = 0; j < 8; ++j, bits >>= 8) eight[j] = std::byte{codes_[bits & 0xff]};
    }
  }

 private:
  static constexpr int64_t kHeaderBytes = 64;

  void fill_block_scales(int64_t block, std::byte* out) const {
    for (int64_t row = 0; row < kPackedRows; ++row) {
      const uint64_t bits = mix64(scales_key_ + static_cast<uint64_t>(block * kPackedRows + row));
      const double scale = scale_ * (0.75 + 0.5 * (static_cast<double>(bits >> 40) * 0x1p-24));
      if (dtype_ == Dtype::kInt8) {
        const auto value = static_cast<float>(scale);
        std::memcpy(out + row * 4, &value, 4);
      } else {
        const F16 value = f32_to_f16(static_cast<float>(scale));
        const F16 min = f32_to_f16(7.5f * f16_to_f32(value));  // the mean is 0
        std::memcpy(out + row * 2, &value, 2);
        std::memcpy(out + kPackedRows * 2 + row * 2, &min, 2);
      }
    }
  }

  Dtype dtype_;
  uint64_t codes_key_, scales_key_;
  double scale_ = 1;
  std::array<uint8_t, 256> codes_;  // of each random byte
};

struct Mapping {
  explicit Mapping(int64_t size) : bytes(static_cast<size_t>(size)) {
    void* const p =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    data = p == MAP_FAILED ? nullptr : static_cast<std::byte*>(p);
  }
  ~Mapping() {
    if (data != nullptr) munmap(data, bytes);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  size_t bytes;
  std::byte* data;
};

int64_t elements(const TensorSpec& spec) {
  int64_t n = 1;
  for (const int64_t extent : spec.shape) n *= extent;
  return n;
}
int64_t bytes_of(const TensorSpec& spec) { return Tensor{spec.dtype, spec.shape, nullptr}.bytes(); }

// Fills n units of unit_bytes, several regions of tasks one after the other; fill_units(begin, end)
// from any thread. done: bytes before these.
template <typename FillUnits>
void fill_in_regions(int64_t n, int64_t units_per_task, int64_t unit_bytes, int64_t done,
                     const RandomOptions& options, Pool& pool, const FillUnits& fill_units) {
  const int64_t region = units_per_task * kPiecesPerRegion;
  for (int64_t begin = 0; begin < n; begin += region) {
    const int64_t end = std::min(n, begin + region);
    pool.parallel_for(ceil_div(end - begin, units_per_task), [&](int64_t task, int) {
      const int64_t first = begin + task * units_per_task;
      fill_units(first, std::min(end, first + units_per_task));
    });
    if (options.progress) options.progress(done + end * unit_bytes);
  }
}

}  // namespace

Result<Checkpoint> random_checkpoint(const ModelConfig& config, const std::string& name,
                                     const RandomOptions& options, Pool& pool) {
  const std::vector<TensorSpec> specs = stored_tensors_once(config, WeightPrecision::kAsConfigured);
  int64_t total = 0;
  for (const TensorSpec& spec : specs) total += round_up(bytes_of(spec), kBufferAlignment);
  auto memory = std::make_shared<Mapping>(total);
  if (memory->data == nullptr)
    return io_error(str_cat("cannot get ", total, " bytes of memory for ", name));

  const std::array<double, 256> normal = normal_quantiles();
  const bool ue8m0 = config.quantization_config && config.quantization_config->ue8m0;
  std::vector<NamedTensor> tensors;
  int64_t offset = 0;
  const TensorSpec* previous = nullptr;  // a scale follows its weight
  for (const TensorSpec& spec : specs) {
    std::byte* const data = memory->data + offset;
    if (is_scale(spec.name)) {
      FATHOM_CHECK(previous != nullptr && spec.name == previous->name + "_scale_inv" &&
                       spec.dtype == Dtype::kF32,
                   spec.name);
      fill_scales(spec, *previous, ue8m0, options.seed, reinterpret_cast<float*>(data));
    } else if (is_packed_type(spec.dtype)) {
      const PackedPlan plan(spec, normal, options.seed);
      const int64_t block_bytes = dtype_block(spec.dtype).bytes;
      fill_in_regions(bytes_of(spec) / block_bytes, kPieceElements / block_bytes, block_bytes,
                      offset, options, pool, [&](int64_t begin, int64_t end) {
                        for (int64_t i = begin; i < end; ++i) plan.fill(i, data + i * block_bytes);
                      });
    } else {
      const Plan plan = plan_tensor(spec, normal, options.seed);
      fill_in_regions(elements(spec), kPieceElements, plan.element_bytes, offset, options, pool,
                      [&](int64_t begin, int64_t end) { fill(plan, begin, end, data); });
    }
    tensors.push_back({spec.name, {spec.dtype, spec.shape, data}});
    offset += round_up(bytes_of(spec), kBufferAlignment);
    previous = &spec;
  }
  return Checkpoint::from_tensors(name, std::move(tensors), std::move(memory));
}

}  // namespace fathom
