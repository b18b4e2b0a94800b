#include "server/constraint_fields.h"

#include "engine/ebnf.h"
#include "engine/json_schema.h"
#include "engine/regex_grammar.h"

namespace fathom {

namespace {

constexpr size_t kChoicesMax = 10'000;
constexpr size_t kTextBytesMax = size_t{1} << 20;

class ConstraintReader {
 public:
  explicit ConstraintReader(GenerateRequest& request) : request_(request) {}

  void schema(ApiFields& fields, std::string_view name, const Json& given) {
    if (!given.is_string()) {
      keep(fields, name, json_schema_grammar(given));
      return;
    }
    const Result<Json> parsed = parse_json(given.as_string());
    if (!parsed.ok()) {
      fields.fail(name, str_cat(fields.path_of(name), " is a text that is no JSON"));
      return;
    }
    keep(fields, name, json_schema_grammar(*parsed));
  }

  template <typename Compile>
  void text(ApiFields& fields, std::string_view name, const Compile& compile) {
    std::string given;
    fields.text(name, given, kTextBytesMax);
    if (fields.ok() && fields.has(name)) keep(fields, name, compile(given));
  }

  void choice(ApiFields& fields, std::string_view name) {
    if (!fields.has(name)) return;
    std::vector<std::string> texts;
    fields.texts(name, texts, kChoicesMax, kTextBytesMax);
    if (texts.empty()) fields.fail(name, str_cat(fields.path_of(name), " holds nothing"));
    if (!fields.ok()) return;
    GrammarBuilder builder;
    const int32_t root = builder.declare_rule();
    builder.define_rule(root, builder.texts(std::move(texts)));
    keep(fields, name, builder.finish(root));
  }

  void any_object(ApiFields& fields, std::string_view name) {
    keep(fields, name, json_object_grammar());
  }

 private:
  void keep(ApiFields& fields, std::string_view name, Result<Grammar> made) {
    if (request_.grammar != nullptr) {
      fields.fail(name, str_cat(fields.path_of(name), " is a second constraint; give one"));
    } else if (!made.ok()) {
      fields.fail(name, str_cat(fields.path_of(name), ": ", made.error().message));
    } else {
      request_.grammar = std::make_shared<const Grammar>(std::move(made).value());
    }
  }
  GenerateRequest& request_;
};

void read_response_format(ApiFields& fields, ConstraintReader& reader) {
  const Json* const format = fields.object("response_format");
  if (format == nullptr) return;
  ApiFields inner(*format, "response_format.");
  std::string type = "text";
  inner.text("type", type, 40);
  if (type == "json_object") {
    reader.any_object(inner, "type");
  } else if (type == "json_schema") {
    const Json* const named = inner.object("json_schema");
    const Json* const schema = named == nullptr ? nullptr : named->find("schema");
    if (inner.ok() && schema == nullptr) {
      inner.fail("json_schema", "response_format.json_schema has no schema", "missing_field");
    } else if (inner.ok()) {
      reader.schema(inner, "json_schema", *schema);
    }
  } else if (inner.ok() && type != "text") {
    inner.fail("type", str_cat("response_format.type is \"", type,
                               "\", expected text, json_object or json_schema"));
  }
  fields.take(inner.error());
}

}  // namespace

void read_constraint(ApiFields& fields, GenerateRequest& request) {
  ConstraintReader reader(request);
  read_response_format(fields, reader);
  for (const std::string_view name : {"json_schema", "guided_json"})
    if (const Json* given = fields.find(name)) reader.schema(fields, name, *given);
  reader.text(fields, "regex", regex_grammar);
  reader.text(fields, "guided_regex", regex_grammar);
  reader.text(fields, "ebnf", ebnf_grammar);
  reader.text(fields, "grammar", ebnf_grammar);
  reader.text(fields, "guided_grammar", ebnf_grammar);
  reader.choice(fields, "guided_choice");
  const Json* const outputs = fields.object("structured_outputs");
  if (outputs == nullptr) return;
  ApiFields inner(*outputs, "structured_outputs.");
  if (const Json* given = inner.find("json")) reader.schema(inner, "json", *given);
  reader.text(inner, "regex", regex_grammar);
  reader.text(inner, "grammar", ebnf_grammar);
  reader.choice(inner, "choice");
  bool any = false;
  inner.boolean("json_object", any);
  if (any) reader.any_object(inner, "json_object");
  if (inner.has("structural_tag"))
    inner.fail("structural_tag", "structured_outputs.structural_tag is not supported here",
               "unsupported_value");
  fields.take(inner.error());
}

}  // namespace fathom
