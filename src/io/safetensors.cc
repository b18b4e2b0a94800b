#include "io/safetensors.h"

#include <algorithm>
#include <numeric>

#include "base/math.h"
#include "io/json.h"
#include "io/printable.h"
#include "tensor/packed.h"

namespace fathom {

namespace {

constexpr size_t kPrefixBytes = 8;
constexpr int64_t kDataAlignment = 64;

struct Entry {
  NamedTensor named;
  int64_t begin = 0;
  int64_t end = 0;
};

uint64_t read_u64(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value |= uint64_t{std::to_integer<uint8_t>(bytes[i])} << (8 * i);
  return value;
}

// Where, for messages: "file.safetensors, tensor NAME".
std::string place(const std::string& file, std::string_view tensor) {
  return str_cat(file, ", tensor ", printable(tensor));
}

bool is_tensor_name(std::string_view name) {
  if (name.empty() || name.size() > 1000) return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || (static_cast<unsigned char>(c) < 0x20) || c == 0x7f;
  });
}

Result<std::vector<int64_t>> parse_shape(const Json* json, const std::string& where) {
  if (json == nullptr || !json->is_array())
    return invalid_error(where, ": \"shape\" is missing or no array");
  if (static_cast<int64_t>(json->as_array().size()) > kTensorRankMax) {
    return invalid_error(where, ": the shape has ", json->as_array().size(),
                         " dimensions, at most ", kTensorRankMax, " are supported");
  }
  std::vector<int64_t> shape;
  for (const Json& extent : json->as_array()) {
    if (!extent.is_int() || extent.as_int() < 0) {
      return invalid_error(where, ": the shape ", printable(json->dump()),
                           " holds what is no size");
    }
    shape.push_back(extent.as_int());
  }
  return shape;
}

Result<Entry> parse_entry(const std::string& name, const Json& json, const std::string& file) {
  const std::string where = place(file, name);
  if (!is_tensor_name(name)) {
    return invalid_error(file, ": \"", printable(name),
                         "\" is no name of a tensor (empty, longer than 1000 "
                         "bytes, or with a '/' or a control character)");
  }
  if (!json.is_object())
    return invalid_error(where, ": the header's entry is ", json.type_name(),
                         ", expected an object");
  Entry entry;
  entry.named.name = name;
  const Json* dtype = json.find("dtype");
  if (dtype == nullptr || !dtype->is_string())
    return invalid_error(where, ": \"dtype\" is missing or no string");
  const auto known = dtype_from_name(dtype->as_string());
  if (!known)
    return unsupported_error(where, ": the dtype \"", printable(dtype->as_string()),
                             "\" is not known");
  entry.named.tensor.dtype = *known;
  FATHOM_TRY(entry.named.tensor.shape, parse_shape(json.find("shape"), where));

  const Json* offsets = json.find("data_offsets");
  if (offsets == nullptr || !offsets->is_array() || offsets->as_array().size() != 2 ||
      !offsets->as_array()[0].is_int() || !offsets->as_array()[1].is_int()) {
    return invalid_error(where, ": \"data_offsets\" is missing or not two integers");
  }
  entry.begin = offsets->as_array()[0].as_int();
  entry.end = offsets->as_array()[1].as_int();
  if (entry.begin < 0 || entry.end < entry.begin) {
    return invalid_error(where, ": data_offsets [", entry.begin, ", ", entry.end,
                         "] are negative or reversed");
  }
  int64_t size = dtype_size(*known);
  for (int64_t extent : entry.named.tensor.shape) {
    if (!checked_mul(size, extent, &size)) {
      return invalid_error(where, ": the size of the shape ", str_list(entry.named.tensor.shape),
                           " overflows");
    }
  }
  if (size != entry.end - entry.begin) {
    return invalid_error(where, ": shape ", str_list(entry.named.tensor.shape), " of ",
                         dtype_name(*known), " takes ", size, " bytes, data_offsets give it ",
                         entry.end - entry.begin);
  }
  return entry;
}

Status parse_metadata(const Json& json, const std::string& file, SafetensorsFile& out) {
  if (!json.is_object())
    return invalid_error(file, ": __metadata__ is ", json.type_name(), ", expected an object");
  for (const auto& [key, value] : json.as_object()) {
    if (!value.is_string()) {
      return invalid_error(file, ": __metadata__ ", printable(key), " is ", value.type_name(),
                           ", expected a string");
    }
    out.metadata.emplace_back(key, value.as_string());
  }
  return {};
}

// Sorted by their data, entries must follow one another from 0 to data_bytes.
Status check_coverage(std::vector<Entry>& entries, int64_t data_begin, int64_t data_bytes,
                      const std::string& file) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  int64_t expected = 0;
  for (const Entry& entry : entries) {
    const std::string& name = entry.named.name;
    if (entry.begin < expected) {
      return invalid_error(place(file, name), ": its data begin at ", entry.begin,
                           ", inside those of the tensor before it, which end at ", expected);
    }
    if (entry.begin > expected) {
      return invalid_error(place(file, name), ": its data begin at ", entry.begin,
                           " but those before it end at ", expected,
                           "; a safetensors file has no holes");
    }
    if (entry.end > data_bytes) {
      return invalid_error(place(file, name), ": its data end at ", data_begin + entry.end,
                           " but the file has ", data_begin + data_bytes,
                           " bytes; is the download complete?");
    }
    if ((data_begin + entry.begin) % dtype_size(entry.named.tensor.dtype) != 0 &&
        entry.end > entry.begin) {
      return invalid_error(place(file, name), ": its data begin at byte ", data_begin + entry.begin,
                           " of the file, which is not aligned for ",
                           dtype_name(entry.named.tensor.dtype),
                           "; save it again with a current safetensors library");
    }
    expected = entry.end;
  }
  if (expected != data_bytes) {
    return invalid_error(file, ": the header describes ", expected, " bytes of data, the file has ",
                         data_bytes);
  }
  return {};
}

}  // namespace

const Tensor* SafetensorsFile::find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [name](const NamedTensor& entry) { return entry.name == name; });
  return found == tensors.end() ? nullptr : &found->tensor;
}

Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes,
                                          const std::string& display_name) {
  if (bytes.size() < kPrefixBytes) {
    return invalid_error(display_name, ": ", bytes.size(),
                         " bytes are too few for a safetensors file");
  }
  const uint64_t header_bytes = read_u64(bytes);
  if (header_bytes == 0 || header_bytes > uint64_t{kSafetensorsHeaderBytesMax}) {
    return invalid_error(display_name, ": the header's length is ", header_bytes,
                         ", expected 1 to ", kSafetensorsHeaderBytesMax,
                         "; is this a safetensors file?");
  }
  if (header_bytes > bytes.size() - kPrefixBytes) {
    return invalid_error(display_name, ": the header has ", header_bytes, " bytes, the file only ",
                         bytes.size(), "; is the download complete?");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kPrefixBytes,
                              header_bytes);
  auto header = parse_json(text, {.max_depth = 8, .reject_duplicate_keys = true});
  if (!header.ok()) return invalid_error(display_name, ": the header is ", header.error().message);
  if (!header->is_object()) {
    return invalid_error(display_name, ": the header is ", header->type_name(),
                         ", expected an object");
  }
  SafetensorsFile out;
  std::vector<Entry> entries;
  entries.reserve(header->as_object().size());
  for (const auto& [name, json] : header->as_object()) {
    if (name == "__metadata__") {
      FATHOM_RETURN_IF_ERROR(parse_metadata(json, display_name, out));
      continue;
    }
    FATHOM_TRY(Entry entry, parse_entry(name, json, display_name));
    entries.push_back(std::move(entry));
  }
  const int64_t data_begin = static_cast<int64_t>(kPrefixBytes + header_bytes);
  FATHOM_RETURN_IF_ERROR(check_coverage(
      entries, data_begin, static_cast<int64_t>(bytes.size()) - data_begin, display_name));
  out.tensors.reserve(entries.size());
  for (Entry& entry : entries) {
    entry.named.tensor.data = bytes.data() + data_begin + entry.begin;
    out.tensors.push_back(std::move(entry.named));
  }
  return out;
}

TensorSpec stored_spec(TensorSpec spec) {
  if (!is_packed_type(spec.dtype)) return spec;
  FATHOM_CHECK(spec.shape.size() == 2, spec.name, " is packed, of shape ", str_list(spec.shape));
  return {std::move(spec.name), Dtype::kU8, packed_shape(spec.dtype, spec.shape[0], spec.shape[1])};
}

Result<SafetensorsWriter> SafetensorsWriter::create(
    const std::string& path, std::vector<TensorSpec> tensors, bool force,
    const std::vector<std::pair<std::string, std::string>>& metadata) {
  std::vector<Place> places(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    TensorSpec& spec = tensors[i];
    spec = stored_spec(std::move(spec));
    places[i].size = dtype_size(spec.dtype);
    for (int64_t extent : spec.shape) {
      FATHOM_CHECK(checked_mul(places[i].size, extent, &places[i].size), "shape of ", spec.name);
    }
  }
  std::string header = "{";
  if (!metadata.empty()) {
    Json json = Json::object();
    for (const auto& [key, value] : metadata) json.set(key, value);
    str_append(header, "\"__metadata__\":", json.dump());
  }
  int64_t end = 0;
  const auto group = [&](size_t i) {
    return places[i].size % kDataAlignment == 0 ? kDataAlignment : dtype_size(tensors[i].dtype);
  };
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return group(a) > group(b); });
  for (size_t i : order) {
    const TensorSpec& spec = tensors[i];
    Place& place = places[i];
    place.begin = end;
    end += place.size;
    if (header.size() > 1) header += ',';
    append_json_string(header, spec.name);
    str_append(header, ":{\"dtype\":\"", dtype_name(spec.dtype),
               "\",\"shape\":", str_list(spec.shape), ",\"data_offsets\":[", place.begin, ",", end,
               "]}");
  }
  header += '}';
  const int64_t data_begin =
      round_up(static_cast<int64_t>(kPrefixBytes + header.size()), kDataAlignment);
  header.resize(static_cast<size_t>(data_begin) - kPrefixBytes, ' ');
  if (static_cast<int64_t>(header.size()) > kSafetensorsHeaderBytesMax) {
    return invalid_error("cannot write ", printable(path), ": ", tensors.size(),
                         " tensors need a header of ", header.size(), " bytes, the format allows ",
                         kSafetensorsHeaderBytesMax);
  }
  for (Place& place : places) place.begin += data_begin;

  FATHOM_TRY(AtomicFile file, AtomicFile::create(path, force));
  std::string prefix;
  for (size_t i = 0; i < kPrefixBytes; ++i)
    prefix += static_cast<char>((header.size() >> (8 * i)) & 0xff);
  FATHOM_RETURN_IF_ERROR(file.append(prefix));
  FATHOM_RETURN_IF_ERROR(file.append(header));
  return SafetensorsWriter(std::move(file), std::move(tensors), std::move(places),
                           data_begin + end);
}

Status SafetensorsWriter::write(size_t index, std::span<const std::byte> bytes) {
  FATHOM_CHECK(index < places_.size(), "tensor ", index, " of ", places_.size());
  Place& place = places_[index];
  const int64_t size = static_cast<int64_t>(bytes.size());
  FATHOM_CHECK(place.written + size <= place.size, tensors_[index].name, " has ", place.size,
               " bytes");
  FATHOM_RETURN_IF_ERROR(file_.write_at(place.begin + place.written, bytes));
  place.written += size;
  return {};
}

Status SafetensorsWriter::finish() {
  for (size_t i = 0; i < places_.size(); ++i) {
    FATHOM_CHECK(places_[i].written == places_[i].size, tensors_[i].name, " has ",
                 places_[i].written, " of ", places_[i].size, " bytes");
  }
  return file_.commit();
}

}  // namespace fathom
