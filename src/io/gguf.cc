#include "io/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "base/math.h"
#include "io/gguf_types.h"
#include "io/printable.h"

namespace fathom {

static_assert(std::endian::native == std::endian::little, "values are read as they lie");

namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr int64_t kHeaderBytes = 24;  // magic, version, two counts
// What the shortest key with a value, and the shortest entry of a tensor, take.
constexpr int64_t kEntryBytesMin = 8 + 4 + 1;
constexpr int64_t kInfoBytesMin = 8 + 4 + 4 + 8;
constexpr int64_t kTensorNameBytesMax = 1000;

// Bytes of one value; 0 for strings and arrays.
int64_t value_bytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

template <typename T>
T load(const std::byte* data, int64_t i) {
  T value;
  std::memcpy(&value, data + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

bool is_tensor_name(std::string_view name) {
  return !name.empty() && static_cast<int64_t>(name.size()) <= kTensorNameBytesMax &&
         std::none_of(name.begin(), name.end(), [](char c) {
           return c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

}  // namespace

std::optional<int64_t> GgufValue::integer(int64_t i) const {
  if (i < 0 || i >= size_) return std::nullopt;
  switch (type_) {
    case GgufType::kU8:
      return load<uint8_t>(data_, i);
    case GgufType::kI8:
      return load<int8_t>(data_, i);
    case GgufType::kU16:
      return load<uint16_t>(data_, i);
    case GgufType::kI16:
      return load<int16_t>(data_, i);
    case GgufType::kU32:
      return load<uint32_t>(data_, i);
    case GgufType::kI32:
      return load<int32_t>(data_, i);
    case GgufType::kI64:
      return load<int64_t>(data_, i);
    case GgufType::kU64: {
      const auto value = load<uint64_t>(data_, i);
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

std::optional<double> GgufValue::number(int64_t i) const {
  if (i < 0 || i >= size_) return std::nullopt;
  if (type_ == GgufType::kF32) return load<float>(data_, i);
  if (type_ == GgufType::kF64) return load<double>(data_, i);
  const std::optional<int64_t> whole = integer(i);
  return whole ? std::optional<double>(static_cast<double>(*whole)) : std::nullopt;
}

std::optional<bool> GgufValue::boolean(int64_t i) const {
  if (i < 0 || i >= size_ || type_ != GgufType::kBool) return std::nullopt;
  return load<uint8_t>(data_, i) != 0;
}

std::optional<std::string_view> GgufValue::string(int64_t i) const {
  if (i < 0 || i >= size_ || type_ != GgufType::kString) return std::nullopt;
  return strings_[static_cast<size_t>(i)];
}

const GgufValue* find_gguf_value(const GgufMetadata& metadata, std::string_view key) {
  for (const auto& [name, value] : metadata) {
    if (name == key) return &value;
  }
  return nullptr;
}

bool is_gguf(std::span<const std::byte> bytes) {
  return bytes.size() >= kMagic.size() &&
         std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
}

class GgufParser {
 public:
  GgufParser(std::span<const std::byte> bytes, const std::string& name)
      : bytes_(bytes), name_(name) {}

  Result<GgufFile> run() {
    FATHOM_RETURN_IF_ERROR(read_header());
    for (uint64_t i = 0; i < n_values_; ++i) FATHOM_RETURN_IF_ERROR(read_entry());
    FATHOM_RETURN_IF_ERROR(read_alignment());
    for (uint64_t i = 0; i < n_tensors_; ++i) FATHOM_RETURN_IF_ERROR(read_info());
    FATHOM_RETURN_IF_ERROR(place_data());
    return std::move(file_);
  }

 private:
  struct Extent {
    int64_t begin = 0;  // from the beginning of the data
    int64_t size = 0;
  };

  int64_t left() const { return static_cast<int64_t>(bytes_.size()) - at_; }
  Error ends_early(std::string_view what) const {
    return invalid_error(name_, ": the file ends at byte ", bytes_.size(), ", inside ", what,
                         "; is the download complete?");
  }

  template <typename T>
  Result<T> read(std::string_view what) {
    if (left() < static_cast<int64_t>(sizeof(T))) return ends_early(what);
    const T value = load<T>(bytes_.data() + at_, 0);
    at_ += static_cast<int64_t>(sizeof(T));
    return value;
  }
  Result<std::string_view> read_string(std::string_view what) {
    FATHOM_TRY(const uint64_t length, read<uint64_t>(what));
    if (length > static_cast<uint64_t>(left())) {
      return invalid_error(name_, ": a text of ", length, " bytes at byte ", at_,
                           " is longer than what is left of the file (", what,
                           "); is the download complete?");
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + at_, length);
    at_ += static_cast<int64_t>(length);
    return text;
  }

  Status read_header() {
    if (!is_gguf(bytes_))
      return invalid_error(name_, " does not begin with \"GGUF\"; is this a GGUF file?");
    if (left() < kHeaderBytes) return ends_early("its GGUF header");
    at_ = static_cast<int64_t>(kMagic.size());
    FATHOM_TRY(file_.version, read<uint32_t>("its GGUF header"));
    if (file_.version != 2 && file_.version != 3) {
      if ((file_.version & 0xffffu) == 0)
        return unsupported_error(name_, " is a big-endian GGUF file, which is not supported");
      return unsupported_error(name_, " is GGUF version ", file_.version,
                               ", supported are 2 and 3; convert the model again");
    }
    FATHOM_TRY(n_tensors_, read<uint64_t>("its GGUF header"));
    FATHOM_TRY(n_values_, read<uint64_t>("its GGUF header"));
    const auto room = static_cast<uint64_t>(left());
    if (n_values_ > room / kEntryBytesMin || n_tensors_ > room / kInfoBytesMin) {
      return invalid_error(name_, ": the header counts ", n_tensors_, " tensors and ", n_values_,
                           " keys, more than ", bytes_.size(),
                           " bytes can hold; is the download complete?");
    }
    return {};
  }

  Status read_entry() {
    FATHOM_TRY(const std::string_view key, read_string("a metadata key"));
    if (key.empty() || key.size() > kGgufKeyBytesMax)
      return invalid_error(name_, ": a metadata key has ", key.size(), " bytes, expected 1 to ",
                           kGgufKeyBytesMax);
    if (!keys_.insert(key).second)
      return invalid_error(name_, ": the metadata key ", printable(key), " stands there twice");
    FATHOM_TRY(const uint32_t type, read<uint32_t>("a metadata value"));
    GgufValue value;
    FATHOM_RETURN_IF_ERROR(set_type(key, type, value));
    if (value.type_ == GgufType::kArray) {
      FATHOM_TRY(const uint32_t element, read<uint32_t>("a metadata array"));
      FATHOM_RETURN_IF_ERROR(set_type(key, element, value));
      if (value.type_ == GgufType::kArray)
        return unsupported_error(name_, ": the metadata key ", printable(key),
                                 " is an array of arrays, which is not supported");
      FATHOM_TRY(const uint64_t count, read<uint64_t>("a metadata array"));
      // A text takes at least its length.
      const int64_t each = value.type_ == GgufType::kString ? 8 : value_bytes(value.type_);
      if (count > static_cast<uint64_t>(left() / each)) {
        return invalid_error(name_, ": the metadata key ", printable(key), " is an array of ",
                             count,
                             " elements, more than the rest of the file can hold; is the "
                             "download complete?");
      }
      value.is_array_ = true;
      value.size_ = static_cast<int64_t>(count);
    }
    FATHOM_RETURN_IF_ERROR(read_values(key, value));
    file_.metadata.emplace_back(key, std::move(value));
    return {};
  }

  Status set_type(std::string_view key, uint32_t type, GgufValue& value) const {
    if (type > static_cast<uint32_t>(GgufType::kF64))
      return invalid_error(name_, ": the metadata key ", printable(key), " has a value of type ",
                           type, ", which is not known");
    value.type_ = static_cast<GgufType>(type);
    return {};
  }

  Status read_values(std::string_view key, GgufValue& value) {
    if (value.type_ == GgufType::kString) {
      value.strings_.reserve(static_cast<size_t>(value.size_));
      for (int64_t i = 0; i < value.size_; ++i) {
        FATHOM_TRY(const std::string_view text, read_string(printable(key)));
        value.strings_.push_back(text);
      }
      return {};
    }
    // An array's elements were compared with what is left, a single value was not.
    const int64_t size = value.size_ * value_bytes(value.type_);
    if (size > left()) return ends_early(printable(key));
    value.data_ = bytes_.data() + at_;
    at_ += size;
    return {};
  }

  Status read_alignment() {
    const GgufValue* value = find_gguf_value(file_.metadata, "general.alignment");
    if (value == nullptr) return {};
    const std::optional<int64_t> alignment = value->is_array() ? std::nullopt : value->integer();
    // Elements have up to 8 bytes.
    if (!alignment || *alignment < 8 || *alignment > kGgufAlignmentMax ||
        !std::has_single_bit(static_cast<uint64_t>(*alignment))) {
      return invalid_error(name_, ": general.alignment is ",
                           alignment ? str_cat(*alignment) : std::string("no integer"),
                           ", expected a power of two from 8 to ", kGgufAlignmentMax);
    }
    alignment_ = *alignment;
    return {};
  }

  Status read_info() {
    FATHOM_TRY(const std::string_view name, read_string("the name of a tensor"));
    if (!is_tensor_name(name))
      return invalid_error(name_, ": \"", printable(name),
                           "\" is no name of a tensor (empty, longer than ", kTensorNameBytesMax,
                           " bytes, or with a '/' or a control character)");
    if (!names_.insert(name).second)
      return invalid_error(name_, ": the tensor ", printable(name), " stands there twice");
    const std::string where = str_cat(name_, ", tensor ", printable(name));
    NamedTensor named{std::string(name), {}};
    FATHOM_TRY(const uint32_t rank, read<uint32_t>("the list of tensors"));
    if (rank > kGgufRankMax)
      return invalid_error(where, " has ", rank, " dimensions, expected at most ", kGgufRankMax);
    for (uint32_t i = 0; i < rank; ++i) {
      FATHOM_TRY(const uint64_t extent, read<uint64_t>("the list of tensors"));
      // A tensor without elements says nothing, and would hide extents whose product overflows.
      if (extent == 0 || extent > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        return invalid_error(where, ": dimension ", i, " is ", extent, ", which is no size");
      named.tensor.shape.push_back(static_cast<int64_t>(extent));
    }
    // The file has the innermost extent first.
    std::reverse(named.tensor.shape.begin(), named.tensor.shape.end());
    FATHOM_TRY(const uint32_t code, read<uint32_t>("the list of tensors"));
    FATHOM_TRY(const uint64_t offset, read<uint64_t>("the list of tensors"));
    FATHOM_TRY(named.tensor.dtype, dtype_of(code, where));
    FATHOM_TRY(const int64_t size, size_of(named.tensor, where));
    if (offset > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
        offset % static_cast<uint64_t>(alignment_) != 0) {
      return invalid_error(where, ": its data begin at ", offset,
                           ", which is no multiple of the file's alignment ", alignment_);
    }
    file_.tensors.push_back(std::move(named));
    extents_.push_back({static_cast<int64_t>(offset), size});
    return {};
  }

  static Result<Dtype> dtype_of(uint32_t code, const std::string& where) {
    const GgufTensorType* type = find_gguf_tensor_type(code);
    if (type != nullptr && type->dtype) return *type->dtype;
    return unsupported_error(
        where, " is ", type != nullptr ? std::string(type->name) : str_cat("of type ", code),
        ", which does not run here; types that run are ", gguf_types_that_run());
  }

  static Result<int64_t> size_of(const Tensor& tensor, const std::string& where) {
    const DtypeBlock block = dtype_block(tensor.dtype);
    const int64_t k = tensor.shape.empty() ? 1 : tensor.shape.back();
    if (k % block.cols != 0) {
      return invalid_error(where, ": rows of ", k, " elements do not divide into blocks of ",
                           block.cols, " (", dtype_name(tensor.dtype), ")");
    }
    int64_t size = block.bytes;
    bool fits = checked_mul(size, k / block.cols, &size);
    for (size_t i = 0; i + 1 < tensor.shape.size(); ++i)
      fits = fits && checked_mul(size, tensor.shape[i], &size);
    // Elements are counted too; an element has at least half a byte.
    if (!fits || size > std::numeric_limits<int64_t>::max() / 2)
      return invalid_error(where, ": the size of the shape ", str_list(tensor.shape), " overflows");
    return size;
  }

  Status place_data() {
    const int64_t begin = round_up(at_, alignment_);
    const int64_t room = static_cast<int64_t>(bytes_.size()) - begin;
    std::vector<size_t> order(extents_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      const Extent &x = extents_[a], &y = extents_[b];
      return x.begin != y.begin ? x.begin < y.begin : x.size < y.size;
    });
    int64_t end = 0;
    for (const size_t i : order) {
      const Extent& extent = extents_[i];
      const std::string where = str_cat(name_, ", tensor ", printable(file_.tensors[i].name));
      if (extent.begin > room || extent.size > room - extent.begin) {
        return invalid_error(where, ": its ", extent.size, " bytes of data begin at ", extent.begin,
                             " of the file's data, which have ", std::max<int64_t>(room, 0),
                             " bytes; is the download complete?");
      }
      if (extent.begin < end)
        return invalid_error(where, ": its data begin at ", extent.begin,
                             ", inside those of the tensor before it, which end at ", end);
      end = extent.begin + extent.size;
      file_.tensors[i].tensor.data = bytes_.data() + begin + extent.begin;
    }
    return {};
  }

  const std::span<const std::byte> bytes_;
  const std::string& name_;
  int64_t at_ = 0;
  int64_t alignment_ = kGgufAlignment;
  uint64_t n_tensors_ = 0, n_values_ = 0;
  GgufFile file_;
  std::vector<Extent> extents_;  // of file_.tensors
  std::unordered_set<std::string_view> keys_, names_;
};

Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, const std::string& display_name) {
  return GgufParser(bytes, display_name).run();
}

}  // namespace fathom
