#include <cstring>

#include "base/math.h"
#include "io/gguf.h"
#include "io/gguf_types.h"

namespace fathom {

namespace {

constexpr uint32_t kVersion = 3;

template <typename T>
void put(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void put_string(std::string& out, std::string_view text) {
  put<uint64_t>(out, text.size());
  out += text;
}

}  // namespace

void GgufMetadataBuilder::add_key(std::string_view key, GgufType type) {
  FATHOM_CHECK(!key.empty() && key.size() <= kGgufKeyBytesMax, key);
  put_string(bytes_, key);
  put(bytes_, static_cast<uint32_t>(type));
  ++count_;
}

void GgufMetadataBuilder::add_u16(std::string_view key, uint16_t value) {
  add_key(key, GgufType::kU16);
  put(bytes_, value);
}
void GgufMetadataBuilder::add_u32(std::string_view key, uint32_t value) {
  add_key(key, GgufType::kU32);
  put(bytes_, value);
}
void GgufMetadataBuilder::add_i32(std::string_view key, int32_t value) {
  add_key(key, GgufType::kI32);
  put(bytes_, value);
}
void GgufMetadataBuilder::add_f32(std::string_view key, float value) {
  add_key(key, GgufType::kF32);
  put(bytes_, value);
}
void GgufMetadataBuilder::add_bool(std::string_view key, bool value) {
  add_key(key, GgufType::kBool);
  put<uint8_t>(bytes_, value ? 1 : 0);
}
void GgufMetadataBuilder::add_string(std::string_view key, std::string_view value) {
  add_key(key, GgufType::kString);
  put_string(bytes_, value);
}
void GgufMetadataBuilder::add_strings(std::string_view key,
                                      const std::vector<std::string>& values) {
  add_key(key, GgufType::kArray);
  put(bytes_, static_cast<uint32_t>(GgufType::kString));
  put<uint64_t>(bytes_, values.size());
  for (const std::string& value : values) put_string(bytes_, value);
}
void GgufMetadataBuilder::add_i32s(std::string_view key, std::span<const int32_t> values) {
  add_key(key, GgufType::kArray);
  put(bytes_, static_cast<uint32_t>(GgufType::kI32));
  put<uint64_t>(bytes_, values.size());
  for (const int32_t value : values) put(bytes_, value);
}

Result<GgufWriter> GgufWriter::create(const std::string& path, const GgufMetadataBuilder& metadata,
                                      std::vector<TensorSpec> tensors, bool force) {
  std::string header = "GGUF";
  put(header, kVersion);
  put<uint64_t>(header, tensors.size());
  put<uint64_t>(header, static_cast<uint64_t>(metadata.count()));
  header += metadata.bytes();
  std::vector<Place> places;
  int64_t end = 0;
  for (const TensorSpec& spec : tensors) {
    const std::optional<uint32_t> code = gguf_type_code(spec.dtype);
    FATHOM_CHECK(code && static_cast<int64_t>(spec.shape.size()) <= kGgufRankMax, spec.name);
    const Tensor tensor{spec.dtype, spec.shape, nullptr};
    places.push_back({round_up(end, kGgufAlignment), tensor.bytes(), 0});
    end = places.back().begin + places.back().size;
    put_string(header, spec.name);
    put(header, static_cast<uint32_t>(spec.shape.size()));
    for (auto extent = spec.shape.rbegin(); extent != spec.shape.rend(); ++extent)
      put(header, static_cast<uint64_t>(*extent));
    put(header, *code);
    put(header, static_cast<uint64_t>(places.back().begin));
  }
  const int64_t data_begin = round_up(static_cast<int64_t>(header.size()), kGgufAlignment);
  header.resize(static_cast<size_t>(data_begin), '\0');
  for (Place& place : places) place.begin += data_begin;
  FATHOM_TRY(AtomicFile file, AtomicFile::create(path, force));
  FATHOM_RETURN_IF_ERROR(file.append(header));
  // Readers of the format expect the last tensor padded too.
  const int64_t bytes = data_begin + round_up(end, kGgufAlignment);
  return GgufWriter(std::move(file), std::move(tensors), std::move(places), bytes);
}

Status GgufWriter::write(size_t index, std::span<const std::byte> bytes) {
  FATHOM_CHECK(index < places_.size(), "tensor ", index, " of ", places_.size());
  Place& place = places_[index];
  const int64_t size = static_cast<int64_t>(bytes.size());
  FATHOM_CHECK(place.written + size <= place.size, tensors_[index].name, " has ", place.size,
               " bytes");
  FATHOM_RETURN_IF_ERROR(file_.write_at(place.begin + place.written, bytes));
  place.written += size;
  return {};
}

Status GgufWriter::finish() {
  int64_t end = 0;
  for (size_t i = 0; i < places_.size(); ++i) {
    FATHOM_CHECK(places_[i].written == places_[i].size, tensors_[i].name, " has ",
                 places_[i].written, " of ", places_[i].size, " bytes");
    end = std::max(end, places_[i].begin + places_[i].size);
  }
  if (end > 0 && end < bytes_) {
    const std::vector<std::byte> padding(static_cast<size_t>(bytes_ - end));
    FATHOM_RETURN_IF_ERROR(file_.write_at(end, padding));
  }
  return file_.commit();
}

}  // namespace fathom
