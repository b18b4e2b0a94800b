#include "tokenizer/jinja_value.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/mix64.h"
#include "tokenizer/jinja_unicode.h"

namespace fathom::jinja {

namespace {

constexpr size_t kLinearKeys = 8;

uint64_t hash_text(std::string_view text) { return std::hash<std::string_view>{}(text); }

uint64_t hash_number(const Value& value) {
  if (value.is(Kind::kFloat)) {
    const double f = value.bits.f;
    if (!(std::fabs(f) < 0x1p100) || f != std::trunc(f)) return mix64(std::hash<double>{}(f));
    return mix64(static_cast<uint64_t>(static_cast<Int>(f)));
  }
  return mix64(static_cast<uint64_t>(value.as_int()));
}

// False when the budget to which the object belongs has ended: lists that share parts can be
// exponentially larger to walk than to make.
bool step(const Value& value) {
  JinjaBudget* budget = value.object == nullptr ? nullptr : value.object->budget;
  return budget == nullptr || budget->step();
}

bool equal_sequences(const Value& a, const Value& b) {
  const SequenceData &x = a.sequence(), &y = b.sequence();
  const auto tuple_like = [](SequenceKind k) {
    return k == SequenceKind::kTuple || k == SequenceKind::kGroup;
  };
  if (x.sequence_kind != y.sequence_kind &&
      !(tuple_like(x.sequence_kind) && tuple_like(y.sequence_kind))) {
    return false;
  }
  if (x.sequence_kind == SequenceKind::kGenerator || x.sequence_kind == SequenceKind::kValues)
    return &x == &y;
  if (x.items.size() != y.items.size()) return false;
  for (size_t i = 0; i < x.items.size(); ++i) {
    if (!step(a) || !equal(x.items[i], y.items[i])) return false;
  }
  return true;
}

bool equal_dicts(const Value& a, const Value& b) {
  const DictData &x = a.dict(), &y = b.dict();
  if (x.members().size() != y.members().size()) return false;
  for (const Member& member : x.members()) {
    const Value* other = step(a) ? y.find(member.first) : nullptr;
    if (other == nullptr || !equal(member.second, *other)) return false;
  }
  return true;
}

}  // namespace

Value Value::none(bool trusted) {
  Value value;
  value.kind = Kind::kNone;
  value.trusted = trusted;
  return value;
}
Value Value::boolean(bool b, bool trusted) {
  Value value;
  value.kind = Kind::kBool;
  value.trusted = trusted;
  value.bits.b = b;
  return value;
}
Value Value::integer(Int i, bool trusted) {
  Value value;
  value.kind = Kind::kInt;
  value.trusted = trusted;
  value.bits.i = i;
  return value;
}
Value Value::number(double f, bool trusted) {
  Value value;
  value.kind = Kind::kFloat;
  value.trusted = trusted;
  value.bits.f = f;
  return value;
}

const StringData& Value::string() const { return static_cast<const StringData&>(*object); }
const JinjaText& Value::text() const { return string().text; }
const SequenceData& Value::sequence() const { return static_cast<const SequenceData&>(*object); }
const DictData& Value::dict() const { return static_cast<const DictData&>(*object); }
const NamespaceData& Value::name_space() const {
  return static_cast<const NamespaceData&>(*object);
}

int64_t StringData::n_chars() const {
  if (n_chars_ < 0) n_chars_ = count_chars(text.view());
  return n_chars_;
}

size_t DictData::slot_of(const Value& key) const {
  const size_t mask = index_.size() - 1;
  size_t slot = hash(key) & mask;
  while (index_[slot] != 0 && !equal(members_[index_[slot] - 1].first, key))
    slot = (slot + 1) & mask;
  return slot;
}

void DictData::rebuild_index() {
  size_t size = 32;
  while (size < members_.size() * 3) size *= 2;
  index_.assign(size, 0);
  for (size_t i = 0; i < members_.size(); ++i)
    index_[slot_of(members_[i].first)] = static_cast<uint32_t>(i + 1);
}

const Value* DictData::find(const Value& key) const {
  if (!index_.empty()) {
    const uint32_t entry = index_[slot_of(key)];
    return entry == 0 ? nullptr : &members_[entry - 1].second;
  }
  for (const Member& member : members_) {
    if (equal(member.first, key)) return &member.second;
  }
  return nullptr;
}

const Value* DictData::find(std::string_view key) const {
  if (!index_.empty()) return find(literal_string(std::string(key)));
  for (const Member& member : members_) {
    if (member.first.is_string() && member.first.view() == key) return &member.second;
  }
  return nullptr;
}

void DictData::set(Value key, Value value) {
  if (const Value* old = find(key); old != nullptr) {
    *const_cast<Value*>(old) = std::move(value);
    return;
  }
  members_.emplace_back(std::move(key), std::move(value));
  if (!index_.empty() && members_.size() * 2 <= index_.size()) {
    index_[slot_of(members_.back().first)] = static_cast<uint32_t>(members_.size());
  } else if (members_.size() > kLinearKeys) {
    rebuild_index();
  }
}

const Value* NamespaceData::find(std::string_view name) const {
  for (const auto& member : members) {
    if (member.first == name) return &member.second;
  }
  return nullptr;
}

bool truthy(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.bits.b;
    case Kind::kInt:
      return value.bits.i != 0;
    case Kind::kFloat:
      return value.bits.f != 0.0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kSequence:
      return value.sequence().sequence_kind == SequenceKind::kGenerator ||
             !value.sequence().items.empty();
    case Kind::kDict:
      return !value.dict().members().empty();
    case Kind::kNamespace:
    case Kind::kLoop:
    case Kind::kFunction:
    case Kind::kMethod:
    case Kind::kMacro:
      return true;
  }
  return false;
}

bool same_object(const Value& a, const Value& b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kBool:
      return a.bits.b == b.bits.b;
    case Kind::kInt:
      return a.bits.i == b.bits.i;
    case Kind::kFloat:
      return a.bits.f == b.bits.f;
    default:
      return a.object == b.object;
  }
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.as_int() == b.as_int();
    return a.as_double() == b.as_double();
  }
  if (a.kind != b.kind) return false;
  if (a.is_string()) return a.view() == b.view();
  if (same_object(a, b)) return true;
  if (a.is(Kind::kSequence)) return equal_sequences(a, b);
  if (a.is(Kind::kDict)) return equal_dicts(a, b);
  return false;
}

Result<int> compare(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) {
      return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int() ? 1 : 0;
    }
    const double x = a.as_double(), y = b.as_double();
    return x < y ? -1 : x > y ? 1 : 0;
  }
  // The order of UTF-8 bytes is the order of characters.
  if (a.is_string() && b.is_string()) return a.view().compare(b.view());
  if (a.is(Kind::kSequence) && b.is(Kind::kSequence) &&
      a.sequence().sequence_kind == b.sequence().sequence_kind &&
      (a.sequence().sequence_kind == SequenceKind::kList ||
       a.sequence().sequence_kind == SequenceKind::kTuple)) {
    const Values &x = a.sequence().items, &y = b.sequence().items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!step(a)) return 0;
      if (!equal(x[i], y[i])) return compare(x[i], y[i]);
    }
    return x.size() < y.size() ? -1 : x.size() > y.size() ? 1 : 0;
  }
  if (a.is_undefined()) return undefined_error(a);
  if (b.is_undefined()) return undefined_error(b);
  return invalid_error("'", type_name(a), "' and '", type_name(b), "' have no order");
}

bool hashable(const Value& value) {
  if (value.is(Kind::kDict)) return false;
  if (!value.is(Kind::kSequence)) return true;
  const SequenceData& data = value.sequence();
  switch (data.sequence_kind) {
    case SequenceKind::kTuple:
    case SequenceKind::kGroup:
      return std::all_of(data.items.begin(), data.items.end(),
                         [&](const Value& item) { return step(value) && hashable(item); });
    case SequenceKind::kRange:
    case SequenceKind::kGenerator:
      return true;
    case SequenceKind::kList:
    case SequenceKind::kKeys:
    case SequenceKind::kValues:
    case SequenceKind::kItems:
      return false;
  }
  return false;
}

uint64_t hash(const Value& value) {
  if (value.is_number()) return hash_number(value);
  if (value.is_string()) return mix64(hash_text(value.view()));
  if (value.is(Kind::kSequence)) {
    uint64_t h = 17;
    for (const Value& item : value.sequence().items) {
      if (!step(value)) break;
      h = mix64(h * 31 + hash(item));
    }
    return h;
  }
  return mix64(static_cast<uint64_t>(value.kind));
}

std::string_view type_name(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kFunction:
      return "function";
    case Kind::kMethod:
      return "method";
    case Kind::kMacro:
      return "Macro";
    case Kind::kSequence:
      break;
  }
  switch (value.sequence().sequence_kind) {
    case SequenceKind::kList:
      return "list";
    case SequenceKind::kTuple:
    case SequenceKind::kGroup:
      return "tuple";
    case SequenceKind::kRange:
      return "range";
    case SequenceKind::kGenerator:
      return "generator";
    case SequenceKind::kKeys:
      return "dict_keys";
    case SequenceKind::kValues:
      return "dict_values";
    case SequenceKind::kItems:
      return "dict_items";
  }
  return "object";
}

Error undefined_error(const Value& value) {
  const auto* data = static_cast<const UndefinedData*>(value.object.get());
  return Error{ErrorCode::kInvalid, data == nullptr ? "an undefined value is used" : data->message};
}

Result<int64_t> length(const Value& value) {
  if (value.is_string()) return value.string().n_chars();
  if (value.is(Kind::kDict)) return static_cast<int64_t>(value.dict().members().size());
  if (value.is(Kind::kSequence) && value.sequence().sequence_kind != SequenceKind::kGenerator) {
    return static_cast<int64_t>(value.sequence().items.size());
  }
  if (value.is_undefined()) {
    const auto* data = static_cast<const UndefinedData*>(value.object.get());
    if (data == nullptr || !data->is_unsafe) return int64_t{0};
    return undefined_error(value);
  }
  return invalid_error("an object of type '", type_name(value), "' has no length");
}

Result<Values> iterate(Heap& heap, const Value& value) {
  Values items;
  if (value.is(Kind::kSequence)) {
    const SequenceData& data = value.sequence();
    if (!heap.budget().step(static_cast<int64_t>(data.items.size() - data.used))) return items;
    items.assign(data.items.begin() + static_cast<ptrdiff_t>(data.used), data.items.end());
    if (data.sequence_kind == SequenceKind::kGenerator) data.used = data.items.size();
    return items;
  }
  if (value.is(Kind::kDict)) {
    if (!heap.budget().step(static_cast<int64_t>(value.dict().members().size()))) return items;
    for (const Member& member : value.dict().members()) items.push_back(member.first);
    return items;
  }
  if (value.is_string()) {
    const JinjaText& text = value.text();
    for (size_t i = 0; i < text.size() && heap.budget().step();) {
      const size_t end = char_offset(text.view(), 1, i);
      items.push_back(heap.string(text.slice(i, end)));
      i = end;
    }
    return items;
  }
  if (value.is_undefined()) {
    FATHOM_TRY(const int64_t none, length(value));
    items.resize(static_cast<size_t>(none));
    return items;
  }
  return invalid_error("an object of type '", type_name(value), "' is not iterable");
}

Result<bool> contains(Heap& heap, const Value& container, const Value& item) {
  if (container.is_string()) {
    if (item.is_undefined()) return undefined_error(item);
    if (!item.is_string()) {
      return invalid_error("'in <string>' requires a string on the left, not ", type_name(item));
    }
    heap.budget().step_bytes(static_cast<int64_t>(container.view().size()));
    return container.view().find(item.view()) != std::string_view::npos;
  }
  if (container.is(Kind::kDict)) {
    if (!hashable(item)) return invalid_error("a ", type_name(item), " cannot be a key of a dict");
    return container.dict().find(item) != nullptr;
  }
  if (!container.is(Kind::kSequence) && !container.is_undefined()) {
    return invalid_error("an object of type '", type_name(container),
                         "' is not iterable, so nothing is 'in' it");
  }
  FATHOM_TRY(const Values items, iterate(heap, container));
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& other) { return equal(other, item); });
}

}  // namespace fathom::jinja
