#include "model/gguf_checkpoint.h"

#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/math.h"
#include "io/printable.h"
#include "kernels/linear.h"
#include "model/gguf_names.h"
#include "model/tensor_values.h"
#include "tensor/numeric.h"

namespace fathom {

namespace {

// Memory that looks like a mapped file to those who let go of a file's pages to save memory: what
// is shared stays what it is, private memory would be lost.
class SharedMemory {
 public:
  static Result<std::shared_ptr<SharedMemory>> create(int64_t bytes) {
    void* data = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return io_error(str_cat("cannot get ", bytes, " bytes of memory"));
    return std::shared_ptr<SharedMemory>(new SharedMemory(data, bytes));
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { ::munmap(data_, static_cast<size_t>(bytes_)); }
  std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  SharedMemory(void* data, int64_t bytes) : data_(data), bytes_(bytes) {}
  void* data_;
  int64_t bytes_;
};

struct KvB {
  const CheckpointTensor* key = nullptr;
  const CheckpointTensor* value = nullptr;
};

class Adapter {
 public:
  Adapter(const ModelConfig& config, GgufParts& parts, const std::string& name)
      : config_(config), parts_(parts), name_(name) {}

  Result<Checkpoint> run(std::vector<std::string>& notes) {
    for (const CheckpointTensor& entry : parts_.tensors) FATHOM_RETURN_IF_ERROR(add(entry));
    FATHOM_RETURN_IF_ERROR(build_kv_b(notes));
    return Checkpoint::from_shards(name_, std::move(parts_.shards), std::move(tensors_));
  }

 private:
  std::string where(const CheckpointTensor& entry) const {
    return str_cat("tensor ", printable(entry.name), " (",
                   printable(parts_.shards[entry.shard].name), ")");
  }
  Error wrong_shape(const CheckpointTensor& entry, const std::vector<int64_t>& expected) const {
    return invalid_error(where(entry), ": expected ", str_list(expected),
                         " from the metadata, file has ", str_list(entry.tensor.shape));
  }

  Status add(const CheckpointTensor& entry) {
    const std::optional<PublishedName> published = published_name(entry.name);
    if (!published) {
      return unsupported_error(where(entry),
                               " is no tensor of the architecture deepseek2 that is "
                               "known here; was the file made by another program's version?");
    }
    switch (published->part) {
      case GgufPart::kWhole:
        if (entry.tensor.shape.size() == 2 && entry.name.ends_with("attn_kv_b.weight"))
          whole_kv_b_.insert(published->name);
        tensors_.push_back({published->name, entry.tensor, entry.shard});
        return {};
      case GgufPart::kExperts:
        return add_experts(entry, *published, {published->suffix});
      case GgufPart::kGateUp:
        return add_experts(entry, *published, {".gate_proj.weight", ".up_proj.weight"});
      case GgufPart::kKeyB:
        kv_b_[published->name].key = &entry;
        return {};
      case GgufPart::kValueB:
        kv_b_[published->name].value = &entry;
        return {};
      case GgufPart::kNotNeeded:
        return {};
    }
    return {};
  }

  // The matrices of an expert follow one another: one, or gate_proj and up_proj.
  Status add_experts(const CheckpointTensor& entry, const PublishedName& published,
                     const std::vector<std::string>& suffixes) {
    const std::vector<int64_t>& shape = entry.tensor.shape;
    const auto n_matrices = static_cast<int64_t>(suffixes.size());
    if (shape.size() != 3 || shape[0] != config_.n_routed_experts || shape[1] % n_matrices != 0) {
      return invalid_error(where(entry), ": expected [", config_.n_routed_experts,
                           ", rows, columns] with as many experts as expert_count says, file has ",
                           str_list(shape));
    }
    const int64_t n = shape[1] / n_matrices;
    const int64_t bytes = matrix_bytes(entry.tensor.dtype, n, shape[2]);
    const std::byte* data = entry.tensor.as<std::byte>();
    for (int64_t expert = 0; expert < shape[0]; ++expert) {
      for (const std::string& suffix : suffixes) {
        tensors_.push_back({str_cat(published.prefix, expert, suffix),
                            {entry.tensor.dtype, {n, shape[2]}, data},
                            entry.shard});
        data += bytes;
      }
    }
    return {};
  }

  Status build_kv_b(std::vector<std::string>& notes) {
    Dtype dtype = Dtype::kF32;
    int64_t bytes = 0;
    for (const auto& [name, parts] : kv_b_) {
      if (whole_kv_b_.count(name) != 0) continue;  // the file has it both ways
      FATHOM_TRY(const int64_t size, build_one(name, parts, &dtype));
      bytes += size;
    }
    if (bytes > 0) {
      notes.push_back(str_cat(name_,
                              " holds kv_b_proj in two parts (attn_k_b, attn_v_b): put "
                              "together in memory as ",
                              dtype_name(dtype), ", ", bytes, " bytes"));
    }
    return {};
  }

  Result<int64_t> build_one(const std::string& name, const KvB& parts, Dtype* dtype) {
    if (parts.key == nullptr || parts.value == nullptr) {
      const CheckpointTensor& there = parts.key != nullptr ? *parts.key : *parts.value;
      return invalid_error(where(there), " is half of ", name, "; ",
                           parts.key == nullptr ? "attn_k_b" : "attn_v_b", " is missing");
    }
    const int64_t n_heads = config_.num_attention_heads, rank = config_.kv_lora_rank,
                  nope = config_.qk_nope_head_dim, v_dim = config_.v_head_dim;
    const std::vector<int64_t> key_shape = {n_heads, rank, nope};
    const std::vector<int64_t> value_shape = {n_heads, v_dim, rank};
    const Tensor &key = parts.key->tensor, &value = parts.value->tensor;
    if (key.shape != key_shape) return wrong_shape(*parts.key, key_shape);
    if (value.shape != value_shape) return wrong_shape(*parts.value, value_shape);
    for (const CheckpointTensor* part : {parts.key, parts.value}) {
      if (!is_float_dtype(part->tensor.dtype) && !is_block_type(part->tensor.dtype))
        return unsupported_error(where(*part), " is ", dtype_name(part->tensor.dtype));
    }
    // Exactly where one of the formats can say it, else BF16: the quantised values are no more
    // exact, and it is half of F32.
    const bool same = key.dtype == value.dtype && is_float_dtype(key.dtype);
    *dtype = same ? key.dtype : Dtype::kBF16;
    const Tensor out = {*dtype, {n_heads * (nope + v_dim), rank}, nullptr};
    FATHOM_TRY(const std::shared_ptr<SharedMemory> memory, SharedMemory::create(out.bytes()));
    write_kv_b(key, value, *dtype, memory->data());
    tensors_.push_back({name, {out.dtype, out.shape, memory->data()}, parts.key->shard});
    parts_.shards[parts.key->shard].bytes.also_keep(memory);
    return out.bytes();
  }

  void write_kv_b(const Tensor& key, const Tensor& value, Dtype dtype, std::byte* out) const {
    const int64_t n_heads = config_.num_attention_heads, rank = config_.kv_lora_rank,
                  nope = config_.qk_nope_head_dim, v_dim = config_.v_head_dim;
    const LinearWeight key_rows = {
        .dtype = key.dtype, .n = n_heads * rank, .k = nope, .data = key.data};
    const LinearWeight value_rows = {
        .dtype = value.dtype, .n = n_heads * v_dim, .k = rank, .data = value.data};
    std::vector<float> turned(static_cast<size_t>(nope * rank));
    std::vector<float> row(static_cast<size_t>(std::max(nope, rank)));
    const int64_t row_bytes = rank * dtype_size(dtype);
    for (int64_t head = 0; head < n_heads; ++head) {
      for (int64_t j = 0; j < rank; ++j) {
        weight_row(Isa::kRef, key_rows, head * rank + j, row.data());
        for (int64_t i = 0; i < nope; ++i)
          turned[static_cast<size_t>(i * rank + j)] = row[static_cast<size_t>(i)];
      }
      for (int64_t i = 0; i < nope; ++i, out += row_bytes)
        write_floats(turned.data() + i * rank, rank, dtype, out);
      for (int64_t i = 0; i < v_dim; ++i, out += row_bytes) {
        weight_row(Isa::kRef, value_rows, head * v_dim + i, row.data());
        write_floats(row.data(), rank, dtype, out);
      }
    }
  }

  const ModelConfig& config_;
  GgufParts& parts_;
  const std::string& name_;
  std::vector<CheckpointTensor> tensors_;
  std::map<std::string, KvB> kv_b_;
  std::set<std::string> whole_kv_b_;
};

}  // namespace

Result<Checkpoint> gguf_checkpoint(const ModelConfig& config, GgufParts& parts,
                                   const std::string& display_name,
                                   std::vector<std::string>& notes) {
  return Adapter(config, parts, display_name).run(notes);
}

}  // namespace fathom
