#include "engine/prefix_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "io/json.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"

namespace fathom {

namespace {

constexpr std::string_view kOrigin = "fathom_prefixes", kPartitions = "partitions";

int64_t block_bytes(const KvPool& pool) {
  return pool.n_blocks() > 1 ? pool.data(1, 0) - pool.data(0, 0)
                             : pool.n_layers() * (pool.data(0, 1) - pool.data(0, 0));
}

std::vector<TensorSpec> specs_of(int64_t n, int64_t n_bytes) {
  return {{"rows", Dtype::kU8, {n, n_bytes}},
          {"tokens", Dtype::kI32, {n, kKvBlockRows}},
          {"parents", Dtype::kI64, {n}},
          {"partitions", Dtype::kI64, {n}},
          {"module_rows", Dtype::kU8, {n}}};
}

template <typename T>
std::span<const T> values(const SafetensorsFile& file, std::string_view name) {
  const Tensor& tensor = *file.find(name);
  return {static_cast<const T*>(tensor.data), static_cast<size_t>(tensor.bytes()) / sizeof(T)};
}

// Owner alone, for as long as it lives.
class PrivateFiles {
 public:
  PrivateFiles() : old_(::umask(0077)) {}
  ~PrivateFiles() { ::umask(old_); }
  PrivateFiles(const PrivateFiles&) = delete;
  PrivateFiles& operator=(const PrivateFiles&) = delete;

 private:
  mode_t old_;
};

// What a file holds, checked.
struct Contents {
  MappedFile mapped;
  SafetensorsFile file;
  std::vector<std::string> partitions;
  int64_t n = 0;
};

Status check_blocks(const Contents& c, const PrefixOrigin& origin, const std::string& path) {
  const auto parents = values<int64_t>(c.file, "parents");
  const auto partitions = values<int64_t>(c.file, "partitions");
  for (int64_t i = 0; i < c.n; ++i) {
    const int64_t parent = parents[static_cast<size_t>(i)];
    const int64_t partition = partitions[static_cast<size_t>(i)];
    if (parent < -1 || parent >= i || partition < 0 || partition >= std::ssize(c.partitions) ||
        (parent >= 0 && partitions[static_cast<size_t>(parent)] != partition))
      return invalid_error(path, ": block ", i, " stands nowhere; remove the file");
  }
  for (const int32_t token : values<int32_t>(c.file, "tokens"))
    if (token < 0 || token >= origin.vocab_size)
      return invalid_error(path, ": the token ", token,
                           " is not in the vocabulary; remove the file");
  return {};
}

Result<Contents> read(const std::string& path, const PrefixOrigin& origin, int64_t n_bytes) {
  Contents out;
  FATHOM_TRY(out.mapped, MappedFile::open(path));
  FATHOM_TRY(out.file, parse_safetensors(out.mapped.bytes(), path));
  std::string fingerprint, names;
  for (const auto& [key, value] : out.file.metadata) {
    if (key == kOrigin) fingerprint = value;
    if (key == kPartitions) names = value;
  }
  if (fingerprint.empty()) return invalid_error(path, " holds no prefixes; choose another file");
  if (fingerprint != origin.fingerprint)
    return invalid_error(path, " was written for another model or other settings (", fingerprint,
                         ", not ", origin.fingerprint, "); remove it or choose another file");
  const Tensor* const tokens = out.file.find("tokens");
  out.n = tokens == nullptr || tokens->shape.empty() ? 0 : tokens->shape[0];
  for (const TensorSpec& spec : specs_of(out.n, n_bytes)) {
    const Tensor* const tensor = out.file.find(spec.name);
    if (tensor == nullptr || tensor->dtype != spec.dtype || tensor->shape != spec.shape)
      return invalid_error(path, ": ", spec.name, " has another shape or type; remove the file");
  }
  FATHOM_TRY(const Json list, parse_json(names));
  if (!list.is_array()) return invalid_error(path, ": its partitions are no list");
  for (const Json& name : list.as_array())
    out.partitions.push_back(name.is_string() ? name.as_string() : "");
  FATHOM_RETURN_IF_ERROR(check_blocks(out, origin, path));
  return out;
}

}  // namespace

Status save_prefixes(const std::string& path, const PrefixOrigin& origin, const PrefixCache& cache,
                     const KvPool& pool) {
  const std::vector<PrefixCache::Entry> entries = cache.entries();
  const auto n = std::ssize(entries);
  std::map<std::string, int64_t> numbers;
  Json names = Json::array();
  std::vector<int32_t> tokens;
  std::vector<int64_t> parents, partitions;
  std::vector<uint8_t> module_rows;
  for (const PrefixCache::Entry& entry : entries) {
    const auto [at, fresh] = numbers.try_emplace(*entry.partition, std::ssize(numbers));
    if (fresh) names.push_back(*entry.partition);
    tokens.insert(tokens.end(), entry.tokens.begin(), entry.tokens.end());
    parents.push_back(entry.parent);
    partitions.push_back(at->second);
    module_rows.push_back(entry.has_module_rows ? 1 : 0);
  }
  const PrivateFiles mask;
  FATHOM_TRY(SafetensorsWriter writer,
             SafetensorsWriter::create(path, specs_of(n, block_bytes(pool)), /*force=*/true,
                                       {{std::string(kOrigin), origin.fingerprint},
                                        {std::string(kPartitions), names.dump()}}));
  for (const PrefixCache::Entry& entry : entries)
    FATHOM_RETURN_IF_ERROR(
        writer.write(0, {pool.data(entry.block, 0), static_cast<size_t>(block_bytes(pool))}));
  FATHOM_RETURN_IF_ERROR(writer.write(1, std::as_bytes(std::span(tokens))));
  FATHOM_RETURN_IF_ERROR(writer.write(2, std::as_bytes(std::span(parents))));
  FATHOM_RETURN_IF_ERROR(writer.write(3, std::as_bytes(std::span(partitions))));
  FATHOM_RETURN_IF_ERROR(writer.write(4, std::as_bytes(std::span(module_rows))));
  return writer.finish();
}

Result<int64_t> load_prefixes(const std::string& path, const PrefixOrigin& origin,
                              PrefixCache& cache, KvPool& pool) {
  const int64_t n_bytes = block_bytes(pool);
  FATHOM_TRY(const Contents contents, read(path, origin, n_bytes));
  const auto tokens = values<int32_t>(contents.file, "tokens");
  const auto parents = values<int64_t>(contents.file, "parents");
  const auto partitions = values<int64_t>(contents.file, "partitions");
  const auto module_rows = values<uint8_t>(contents.file, "module_rows");
  const auto rows = values<std::byte>(contents.file, "rows");
  std::vector<PrefixCache::Place> places(static_cast<size_t>(contents.n));
  int64_t n_taken = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    PrefixCache::Place parent;
    if (parents[i] >= 0) {
      parent = places[static_cast<size_t>(parents[i])];
      if (parent.node == nullptr) continue;  // there was no room for it
    }
    const int64_t block = pool.take();
    if (block < 0) break;
    std::memcpy(pool.data(block, 0), &rows[i * static_cast<size_t>(n_bytes)],
                static_cast<size_t>(n_bytes));
    places[i] =
        cache.restore(contents.partitions[static_cast<size_t>(partitions[i])], parent,
                      tokens.subspan(i * kKvBlockRows, kKvBlockRows), block, module_rows[i] != 0);
    pool.give_back(block);  // the cache holds it now, or has one of these tokens already
    ++n_taken;
  }
  return n_taken;
}

}  // namespace fathom
