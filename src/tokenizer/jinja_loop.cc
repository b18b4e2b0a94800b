// {% for %}: its items, its scope of each round, and the variable `loop`.
#include <algorithm>

#include "tokenizer/jinja_interpreter_internal.h"

namespace fathom::jinja {

Result<Interpreter::Flow> Interpreter::execute_for(const Statement& statement) {
  FATHOM_TRY(const Value list, evaluate(*statement.exprs[1]));
  return run_loop(statement, list, 0);
}

Result<Values> Interpreter::loop_items(const Statement& statement, const Value& list) {
  FATHOM_TRY(Values items, iterate(heap_, list));
  if (statement.exprs.size() < 3) return items;
  Values chosen;
  auto outer = scope_;
  Status status;
  for (Value& item : items) {
    scope_ = std::make_shared<Scope>();
    scope_->outer = outer;
    status = assign(*statement.exprs[0], item);
    if (!status.ok()) break;
    auto test = evaluate(*statement.exprs[2]);
    if (!test.ok()) {
      status = std::move(test).error();
      break;
    }
    if (truthy(*test)) chosen.push_back(std::move(item));
  }
  scope_ = std::move(outer);
  FATHOM_RETURN_IF_ERROR(status);
  return chosen;
}

Result<Interpreter::Flow> Interpreter::run_loop(const Statement& statement, const Value& list,
                                                int64_t level) {
  FATHOM_TRY(Values items, loop_items(statement, list));
  if (items.empty()) {
    return statement.bodies.size() > 1 ? execute_in_scope(statement.bodies[1]) : Flow::kNext;
  }
  auto data = std::make_shared<LoopData>();
  data->statement = statement.recursive ? &statement : nullptr;
  data->level = level;
  for (const Value& item : items) {
    if (item.object != nullptr) data->depth = std::max(data->depth, item.object->depth + 1);
  }
  data->items = std::move(items);
  if (statement.recursive) {
    data->scope = scope_;
    captured_.push_back(scope_);
  }
  heap_.charge(*data, static_cast<int64_t>(sizeof(LoopData) + data->items.size() * sizeof(Value)));
  Value loop;
  loop.kind = Kind::kLoop;
  loop.object = data;

  auto outer = scope_;
  Result<Flow> flow = Flow::kNext;
  for (; data->index < static_cast<int64_t>(data->items.size()); ++data->index) {
    scope_ = std::make_shared<Scope>();
    scope_->outer = outer;
    scope_->set(kNameLoop, loop);
    const Status status =
        assign(*statement.exprs[0], data->items[static_cast<size_t>(data->index)]);
    flow = status.ok() ? execute(statement.bodies[0]) : Result<Flow>(status.error());
    if (!flow.ok() || *flow == Flow::kBreak) break;
  }
  scope_ = std::move(outer);
  if (!flow.ok()) return flow;
  return Flow::kNext;
}

Result<Value> Interpreter::call_loop(const Value& loop, const CallArguments& arguments) {
  const auto& data = static_cast<const LoopData&>(*loop.object);
  if (data.statement == nullptr) return invalid_error("only a recursive loop can be called");
  if (arguments.positional.size() != 1 || !arguments.named.empty())
    return invalid_error("loop() takes one list");
  auto outer = std::exchange(scope_, data.scope);
  TextBuilder text(heap_);
  TextBuilder* out = std::exchange(out_, &text);
  auto flow = run_loop(*data.statement, arguments.positional[0], data.level + 1);
  out_ = out;
  scope_ = std::move(outer);
  if (!flow.ok()) return std::move(flow).error();
  return text.value();
}

Result<Value> Interpreter::loop_attribute(const LoopData& loop, std::string_view name) {
  const int64_t i = loop.index;
  const auto n = static_cast<int64_t>(loop.items.size());
  if (name == "index") return Value::integer(i + 1);
  if (name == "index0") return Value::integer(i);
  if (name == "revindex") return Value::integer(n - i);
  if (name == "revindex0") return Value::integer(n - i - 1);
  if (name == "first") return Value::boolean(i == 0);
  if (name == "last") return Value::boolean(i + 1 == n);
  if (name == "length") return Value::integer(n);
  if (name == "depth") return Value::integer(loop.level + 1);
  if (name == "depth0") return Value::integer(loop.level);
  if (name == "previtem") {
    return i > 0 ? loop.items[static_cast<size_t>(i - 1)]
                 : heap_.undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return i + 1 < n ? loop.items[static_cast<size_t>(i + 1)]
                     : heap_.undefined("there is no next item");
  }
  return heap_.undefined(str_cat("'loop' has no attribute '", name, "'"));
}

}  // namespace fathom::jinja
