#include "train/shards.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <set>
#include <utility>

#include "base/xxh64.h"
#include "io/json.h"
#include "io/printable.h"

namespace fathom {
namespace {

constexpr std::string_view kFormat = "fathom-shards";
constexpr int64_t kVersion = 1;
constexpr int64_t kTokensMax = int64_t{1} << 48;

Json to_json(const ShardSplit& split, bool has_mask) {
  Json files = Json::array();
  for (const ShardFile& file : split.files) {
    Json entry = Json::Object{
        {"name", file.name}, {"tokens", file.tokens}, {"xxh64", xxh64_hex(file.checksum)}};
    if (has_mask) entry.set("mask_xxh64", xxh64_hex(file.mask_checksum));
    files.push_back(std::move(entry));
  }
  return Json::Object{{"documents", split.documents},
                      {"tokens", split.tokens},
                      {"text_bytes", split.text_bytes},
                      {"files", std::move(files)}};
}

// Reads index.json; what is wrong with it is one sentence.
class IndexReader {
 public:
  explicit IndexReader(std::string path) : path_(std::move(path)) {}

  Result<ShardIndex> read() const {
    FATHOM_TRY(const std::string text, read_file(path_));
    const Result<Json> json = parse_json(text);
    if (!json.ok()) return invalid_error(path_, ": ", json.error().message);
    const Json* format = json->find("format");
    if (format == nullptr || !format->is_string() || format->as_string() != kFormat)
      return invalid_error(path_, " is no index of token shards; `fathom data` makes them");
    FATHOM_TRY(const int64_t version, number(*json, "version", kTokensMax));
    if (version != kVersion)
      return unsupported_error(path_, " has version ", version, ", this program reads ", kVersion,
                               "; make the shards again with `fathom data`");
    ShardIndex index;
    FATHOM_TRY(index.vocab_size, number(*json, "vocab_size", INT32_MAX));
    FATHOM_TRY(index.tokenizer_digest, checksum(*json, "tokenizer"));
    const Json* mask = json->find("mask");
    index.has_mask = mask != nullptr && mask->is_bool() && mask->as_bool();
    FATHOM_TRY(index.train, split(*json, "train", index.has_mask));
    FATHOM_TRY(index.validation, split(*json, "validation", index.has_mask));
    return index;
  }

 private:
  Error bad(std::string_view key) const {
    return invalid_error(path_, ": \"", key,
                         "\" is missing or not what it should be; make the "
                         "shards again with `fathom data`");
  }
  Result<int64_t> number(const Json& json, std::string_view key, int64_t max) const {
    const Json* value = json.find(key);
    if (value == nullptr || !value->is_int() || value->as_int() < 0 || value->as_int() > max)
      return bad(key);
    return value->as_int();
  }
  Result<uint64_t> checksum(const Json& json, std::string_view key) const {
    const Json* value = json.find(key);
    if (value == nullptr || !value->is_string()) return bad(key);
    const std::string& text = value->as_string();
    uint64_t out = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out, 16);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return bad(key);
    return out;
  }
  Result<ShardSplit> split(const Json& json, std::string_view key, bool has_mask) const {
    const Json* value = json.find(key);
    if (value == nullptr || !value->is_object()) return bad(key);
    ShardSplit out;
    FATHOM_TRY(out.documents, number(*value, "documents", kTokensMax));
    FATHOM_TRY(out.tokens, number(*value, "tokens", kTokensMax));
    FATHOM_TRY(out.text_bytes, number(*value, "text_bytes", INT64_MAX));
    const Json* files = value->find("files");
    if (files == nullptr || !files->is_array()) return bad("files");
    int64_t tokens = 0;
    for (const Json& entry : files->as_array()) {
      ShardFile file;
      const Json* name = entry.find("name");
      if (name == nullptr || !name->is_string() || name->as_string().empty() ||
          name->as_string().find('/') != std::string::npos || name->as_string().starts_with("."))
        return bad("name");
      file.name = name->as_string();
      FATHOM_TRY(file.tokens, number(entry, "tokens", kTokensMax));
      FATHOM_TRY(file.checksum, checksum(entry, "xxh64"));
      if (has_mask) {
        FATHOM_TRY(file.mask_checksum, checksum(entry, "mask_xxh64"));
      }
      tokens += file.tokens;
      if (tokens > kTokensMax) return bad("tokens");
      out.files.push_back(std::move(file));
    }
    if (tokens != out.tokens) return bad("tokens");
    return out;
  }

  std::string path_;
};

}  // namespace

// ---- writing

struct ShardWriter::Open {
  AtomicFile ids;
  std::optional<AtomicFile> mask;
  Xxh64 ids_sum, mask_sum;
  ShardFile file;
};

struct ShardWriter::OpenSplit {
  ShardSplit split;
  std::string prefix;
  std::optional<Open> open;
  std::vector<AtomicFile> sealed;
};

ShardWriter::ShardWriter(ShardFolder folder, ShardIndex index)
    : folder_(std::make_unique<ShardFolder>(std::move(folder))), index_(std::move(index)) {
  for (const char* prefix : {"train", "validation"}) {
    splits_.push_back(std::make_unique<OpenSplit>());
    splits_.back()->prefix = prefix;
  }
}
ShardWriter::ShardWriter(ShardWriter&&) noexcept = default;
ShardWriter& ShardWriter::operator=(ShardWriter&&) noexcept = default;
ShardWriter::~ShardWriter() = default;

Result<ShardWriter> ShardWriter::create(const std::string& folder, const ShardIndex& header,
                                        bool force) {
  FATHOM_TRY(ShardFolder opened, ShardFolder::open(folder, force));
  return ShardWriter(std::move(opened), header);
}

Status ShardWriter::close(OpenSplit& split) {
  if (!split.open) return {};
  FATHOM_RETURN_IF_ERROR(split.open->ids.seal());
  split.sealed.push_back(std::move(split.open->ids));
  if (split.open->mask) {
    FATHOM_RETURN_IF_ERROR(split.open->mask->seal());
    split.sealed.push_back(std::move(*split.open->mask));
  }
  split.open->file.checksum = split.open->ids_sum.digest();
  split.open->file.mask_checksum = split.open->mask_sum.digest();
  split.split.files.push_back(split.open->file);
  split.open.reset();
  return {};
}

Status ShardWriter::add(Split which, std::span<const int32_t> ids, std::span<const uint8_t> mask,
                        int64_t text_bytes) {
  OpenSplit& split = *splits_[which == Split::kTrain ? 0 : 1];
  if (!split.open) {
    ShardFile file;
    file.name = str_cat(split.prefix, "-", split.split.files.size(), ".tokens");
    const std::string mask_name = shard_mask_name(file.name);
    FATHOM_TRY(AtomicFile out, folder_->create(file.name));
    split.open.emplace(Open{std::move(out), std::nullopt, {}, {}, std::move(file)});
    if (index_.has_mask) {
      FATHOM_TRY(AtomicFile masks, folder_->create(mask_name));
      split.open->mask.emplace(std::move(masks));
    }
  }
  std::vector<std::byte> bytes(ids.size() * static_cast<size_t>(index_.token_bytes()));
  for (size_t i = 0; i < ids.size(); ++i) {
    FATHOM_CHECK(ids[i] >= 0 && ids[i] < index_.vocab_size, "id ", ids[i]);
    if (index_.token_bytes() == 2) {
      const auto narrow = static_cast<uint16_t>(ids[i]);
      std::memcpy(&bytes[i * 2], &narrow, 2);
    } else {
      std::memcpy(&bytes[i * 4], &ids[i], 4);
    }
  }
  FATHOM_RETURN_IF_ERROR(split.open->ids.append(bytes));
  split.open->ids_sum.update(bytes);
  if (split.open->mask) {
    const std::vector<uint8_t> all(mask.empty() ? ids.size() : 0, uint8_t{1});
    const auto mask_bytes = std::as_bytes(mask.empty() ? std::span<const uint8_t>(all) : mask);
    FATHOM_RETURN_IF_ERROR(split.open->mask->append(mask_bytes));
    split.open->mask_sum.update(mask_bytes);
  }
  split.open->file.tokens += std::ssize(ids);
  split.split.tokens += std::ssize(ids);
  split.split.text_bytes += text_bytes;
  ++split.split.documents;
  return split.open->file.tokens >= kShardTokens ? close(split) : Status{};
}

Result<ShardIndex> ShardWriter::finish() {
  std::vector<AtomicFile> files;
  std::set<std::string> names;
  for (const auto& split : splits_) {
    FATHOM_RETURN_IF_ERROR(close(*split));
    for (AtomicFile& file : split->sealed) files.push_back(std::move(file));
    for (const ShardFile& file : split->split.files) {
      names.insert(file.name);
      if (index_.has_mask) names.insert(shard_mask_name(file.name));
    }
  }
  index_.train = splits_[0]->split;
  index_.validation = splits_[1]->split;
  const Json json = Json::Object{{"format", kFormat},
                                 {"version", kVersion},
                                 {"vocab_size", index_.vocab_size},
                                 {"tokenizer", xxh64_hex(index_.tokenizer_digest)},
                                 {"mask", index_.has_mask},
                                 {"train", to_json(index_.train, index_.has_mask)},
                                 {"validation", to_json(index_.validation, index_.has_mask)}};
  FATHOM_RETURN_IF_ERROR(folder_->publish(std::move(files), names, json.dump_pretty() + "\n"));
  return index_;
}

// ---- reading

Result<Shards> Shards::open(const std::string& folder, Split split) {
  Shards out;
  out.folder_ = folder;
  FATHOM_TRY(out.index_, IndexReader(join_path(folder, kShardIndexName)).read());
  const auto map = [&](const std::string& name, int64_t bytes,
                       uint64_t checksum) -> Result<MappedFile> {
    FATHOM_TRY(MappedFile file, MappedFile::open(join_path(folder, name)));
    Xxh64 sum;
    if (std::ssize(file.bytes()) == bytes) sum.update(file.bytes());
    if (std::ssize(file.bytes()) != bytes || sum.digest() != checksum)
      return invalid_error(join_path(folder, printable(name)),
                           " is not what its index says; make the shards again with `fathom data`");
    return file;
  };
  for (const ShardFile& entry : out.index_.split(split).files) {
    Mapped mapped;
    mapped.begin = out.n_tokens_;
    mapped.tokens = entry.tokens;
    FATHOM_TRY(mapped.ids,
               map(entry.name, entry.tokens * out.index_.token_bytes(), entry.checksum));
    if (out.index_.has_mask) {
      FATHOM_TRY(mapped.mask, map(shard_mask_name(entry.name), entry.tokens, entry.mask_checksum));
    }
    out.n_tokens_ += entry.tokens;
    out.files_.push_back(std::move(mapped));
  }
  return out;
}

Status Shards::read(int64_t begin, std::span<int32_t> ids, std::span<uint8_t> mask) const {
  FATHOM_CHECK(begin >= 0 && begin + std::ssize(ids) <= n_tokens_, "tokens from ", begin, " of ",
               n_tokens_);
  auto file = std::upper_bound(files_.begin(), files_.end(), begin,
                               [](int64_t at, const Mapped& m) { return at < m.begin; });
  --file;
  for (size_t i = 0; i < ids.size(); ++i, ++begin) {
    while (begin >= file->begin + file->tokens) ++file;
    const auto at = static_cast<size_t>(begin - file->begin);
    if (index_.token_bytes() == 2) {
      uint16_t narrow = 0;
      std::memcpy(&narrow, file->ids.bytes().data() + at * 2, 2);
      ids[i] = narrow;
    } else {
      std::memcpy(&ids[i], file->ids.bytes().data() + at * 4, 4);
    }
    if (ids[i] < 0 || ids[i] >= index_.vocab_size)
      return invalid_error(folder_, ": token ", begin, " is ", ids[i], ", beyond a vocabulary of ",
                           index_.vocab_size, "; make the shards again with `fathom data`");
    if (i < mask.size())
      mask[i] = index_.has_mask ? static_cast<uint8_t>(file->mask.bytes()[at]) : uint8_t{1};
  }
  return {};
}

}  // namespace fathom
