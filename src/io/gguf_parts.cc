#include "io/gguf_parts.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <unordered_set>

#include "io/mapped_file.h"
#include "io/printable.h"

namespace fathom {

namespace {

constexpr std::string_view kSuffix = ".gguf";
constexpr size_t kDigits = 5;

std::string five_digits(int64_t n) {
  const std::string digits = str_cat(n);
  return std::string(digits.size() < kDigits ? kDigits - digits.size() : 0, '0') + digits;
}

// The path up to "-00001-of-00003.gguf".
struct PartName {
  std::string_view stem;
  int64_t number = 0;  // from 1
  int64_t count = 0;
};
std::optional<PartName> parse_part_name(std::string_view path) {
  constexpr std::string_view kOf = "-of-";
  constexpr size_t kTail = 1 + kDigits + kOf.size() + kDigits;
  if (!path.ends_with(kSuffix)) return std::nullopt;
  path.remove_suffix(kSuffix.size());
  if (path.size() <= kTail) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - kTail);
  if (tail[0] != '-' || tail.substr(1 + kDigits, kOf.size()) != kOf) return std::nullopt;
  PartName out;
  out.stem = path.substr(0, path.size() - kTail);
  const auto parse = [](std::string_view digits, int64_t* value) {
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), *value);
    return ec == std::errc() && end == digits.data() + digits.size();
  };
  if (!parse(tail.substr(1, kDigits), &out.number) ||
      !parse(tail.substr(kTail - kDigits), &out.count)) {
    return std::nullopt;
  }
  return out;
}

// An absent key counts as otherwise.
Result<int64_t> split_number(const GgufFile& file, std::string_view key, int64_t otherwise,
                             const std::string& name) {
  const GgufValue* value = find_gguf_value(file.metadata, key);
  if (value == nullptr) return otherwise;
  const std::optional<int64_t> number = value->is_array() ? std::nullopt : value->integer();
  if (!number || *number < 0) return invalid_error(name, ": ", key, " is no count");
  return *number;
}

class Opener {
 public:
  explicit Opener(const std::string& path) : path_(path) {}

  Result<GgufParts> run() {
    FATHOM_TRY(GgufFile first, add(path_));
    const std::string name = printable(path_);
    FATHOM_TRY(const int64_t count, split_number(first, "split.count", 1, name));
    FATHOM_TRY(const int64_t number, split_number(first, "split.no", 0, name));
    FATHOM_TRY(const int64_t n_tensors, split_number(first, "split.tensors.count", -1, name));
    if (count > kGgufPartsMax)
      return invalid_error(name, ": split.count is ", count, ", at most ", kGgufPartsMax,
                           " parts are supported");
    parts_.metadata = std::move(first.metadata);
    if (count > 1) {
      FATHOM_RETURN_IF_ERROR(check_first(number, count));
      FATHOM_RETURN_IF_ERROR(add_others(count));
    }
    if (n_tensors >= 0 && n_tensors != static_cast<int64_t>(parts_.tensors.size())) {
      return invalid_error(name, ": split.tensors.count is ", n_tensors, ", but the ", count,
                           " parts hold ", parts_.tensors.size(),
                           " tensors; are they from one download?");
    }
    FATHOM_RETURN_IF_ERROR(check_unique());
    return std::move(parts_);
  }

 private:
  Result<GgufFile> add(const std::string& path) {
    FATHOM_TRY(MappedFile mapped, MappedFile::open(path));
    auto owner = std::make_shared<const MappedFile>(std::move(mapped));
    FATHOM_TRY(GgufFile file, parse_gguf(owner->bytes(), printable(path)));
    for (NamedTensor& named : file.tensors)
      parts_.tensors.push_back(
          {std::move(named.name), std::move(named.tensor), parts_.shards.size()});
    parts_.shards.push_back({path, FileBytes(std::move(owner)), {}});
    return file;
  }

  Status check_first(int64_t number, int64_t count) const {
    const std::optional<PartName> name = parse_part_name(path_);
    if (!name || name->count != count) {
      return invalid_error(printable(path_), " is one of ", count,
                           " parts, which its name does not say; expected NAME-00001-of-",
                           five_digits(count), ".gguf");
    }
    if (number == 0 && name->number == 1) return {};
    return invalid_error(printable(path_), " is part ", number + 1, " of ", count,
                         "; name the first: ",
                         printable(str_cat(name->stem, "-00001-of-", five_digits(count), kSuffix)));
  }

  Status add_others(int64_t count) {
    const std::string whole = str_cat(parse_part_name(path_)->stem, kSuffix);
    for (int64_t part = 1; part < count; ++part) {
      const std::string path = gguf_part_path(whole, part, count);
      const std::string name = printable(path);
      FATHOM_TRY(const GgufFile file, add(path));
      FATHOM_TRY(const int64_t its_count, split_number(file, "split.count", 1, name));
      FATHOM_TRY(const int64_t its_number, split_number(file, "split.no", 0, name));
      if (its_count != count || its_number != part) {
        return invalid_error(name, ": the file says that it is part ", its_number + 1, " of ",
                             its_count, ", expected ", part + 1, " of ", count,
                             "; are the parts from one download?");
      }
    }
    return {};
  }

  Status check_unique() const {
    std::unordered_set<std::string_view> names;
    for (const CheckpointTensor& entry : parts_.tensors) {
      if (!names.insert(entry.name).second)
        return invalid_error("tensor ", printable(entry.name), " stands in two parts, one of them ",
                             printable(parts_.shards[entry.shard].name));
    }
    return {};
  }

  const std::string& path_;
  GgufParts parts_;
};

}  // namespace

Result<GgufParts> open_gguf(const std::string& path) { return Opener(path).run(); }

std::string gguf_part_path(std::string_view path, int64_t part, int64_t n_parts) {
  if (n_parts == 1) return std::string(path);
  if (path.ends_with(kSuffix)) path.remove_suffix(kSuffix.size());
  return str_cat(path, "-", five_digits(part + 1), "-of-", five_digits(n_parts), kSuffix);
}

}  // namespace fathom
