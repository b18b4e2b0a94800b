// How values are made: each is charged to the budget of its rendering (jinja_value.h).
#include <algorithm>

#include "io/json.h"
#include "tokenizer/jinja_value.h"

namespace fathom::jinja {

namespace {

int64_t depth_of(const Value& value) { return value.object == nullptr ? 0 : value.object->depth; }

}  // namespace

Heap::~Heap() {
  for (const auto& data : namespaces_) data->members.clear();
}

void Heap::charge(Object& data, int64_t bytes) {
  data.budget = &budget_;
  data.held_bytes = bytes;
  budget_.hold(bytes);
  if (data.depth > budget_.limits().value_depth) {
    budget_.fail(str_cat("the template nests lists or dicts deeper than ",
                         budget_.limits().value_depth, " levels"));
  }
}

Value Heap::string(JinjaText text, bool markup) {
  Value value;
  value.kind = Kind::kString;
  value.markup = markup;
  auto data = std::make_shared<StringData>();
  budget_.allow_string(static_cast<int64_t>(text.size()));
  data->text = std::move(text);
  charge(*data, static_cast<int64_t>(sizeof(StringData) + data->text.bytes().capacity() +
                                     8 * data->text.n_flips()));
  value.object = std::move(data);
  return value;
}

Value Heap::sequence(SequenceKind kind, Values items, std::string name, bool trusted) {
  Value value;
  value.kind = Kind::kSequence;
  value.trusted = trusted;
  auto data = std::make_shared<SequenceData>();
  data->sequence_kind = kind;
  budget_.allow_list(static_cast<int64_t>(items.size()));
  budget_.step(static_cast<int64_t>(items.size()));
  for (const Value& item : items) data->depth = std::max(data->depth, depth_of(item));
  ++data->depth;
  if (data->depth > budget_.limits().value_depth) items.clear();
  data->items = std::move(items);
  data->name = std::move(name);
  charge(*data,
         static_cast<int64_t>(sizeof(SequenceData) + data->items.capacity() * sizeof(Value)));
  value.object = std::move(data);
  return value;
}

Value Heap::dict(std::vector<Member> members, bool trusted) {
  Value value;
  value.kind = Kind::kDict;
  value.trusted = trusted;
  auto data = std::make_shared<DictData>();
  budget_.allow_list(static_cast<int64_t>(members.size()));
  for (Member& member : members) {
    if (!budget_.step()) break;
    data->depth = std::max({data->depth, depth_of(member.first), depth_of(member.second)});
    if (data->depth >= budget_.limits().value_depth) break;
    data->set(std::move(member.first), std::move(member.second));
  }
  ++data->depth;
  charge(*data, static_cast<int64_t>(sizeof(DictData) +
                                     data->members().capacity() * (sizeof(Member) + 16)));
  value.object = std::move(data);
  return value;
}

Value Heap::name_space(std::vector<std::pair<std::string, Value>> members) {
  Value value;
  value.kind = Kind::kNamespace;
  auto data = std::make_shared<NamespaceData>();
  data->members = std::move(members);
  charge(*data, static_cast<int64_t>(sizeof(NamespaceData) + 256));
  namespaces_.push_back(data);
  value.object = std::move(data);
  return value;
}

Value Heap::undefined(std::string message, bool is_unsafe) {
  Value value;
  auto data = std::make_shared<UndefinedData>();
  data->message = std::move(message);
  data->is_unsafe = is_unsafe;
  charge(*data, static_cast<int64_t>(sizeof(UndefinedData) + data->message.size()));
  value.object = std::move(data);
  return value;
}

Value Heap::from_json(const Json& json, int64_t depth) {
  budget_.step();
  if (depth > budget_.limits().value_depth) {
    budget_.fail(
        str_cat("the data given nests deeper than ", budget_.limits().value_depth, " levels"));
  }
  if (budget_.failed()) return Value::none();
  switch (json.type()) {
    case Json::Type::kNull:
      return Value::none(false);
    case Json::Type::kBool:
      return Value::boolean(json.as_bool(), false);
    case Json::Type::kInt:
      return Value::integer(json.as_int(), false);
    case Json::Type::kUint:
      return Value::integer(static_cast<Int>(json.as_uint()), false);
    case Json::Type::kDouble:
    case Json::Type::kFloat:
      return Value::number(json.as_double(), false);
    case Json::Type::kString:
      return string(json.as_string(), false);
    case Json::Type::kArray: {
      Values items;
      items.reserve(json.as_array().size());
      for (const Json& item : json.as_array()) items.push_back(from_json(item, depth + 1));
      return sequence(SequenceKind::kList, std::move(items), {}, false);
    }
    case Json::Type::kObject: {
      std::vector<Member> members;
      members.reserve(json.as_object().size());
      for (const auto& [key, item] : json.as_object()) {
        members.emplace_back(string(key, false), from_json(item, depth + 1));
      }
      return dict(std::move(members), false);
    }
  }
  return Value::none();
}

Value literal_string(std::string text) {
  Value value;
  value.kind = Kind::kString;
  auto data = std::make_shared<StringData>();
  data->text = JinjaText(std::move(text), true);
  data->n_chars();  // now, so that threads that share the literal only read
  value.object = std::move(data);
  return value;
}

}  // namespace fathom::jinja
