#include "server/text_parts.h"

namespace fathom {

std::string read_text_or_parts(ApiFields& fields, std::string_view name, const OtherPart& other) {
  std::string out;
  const Json* const content = fields.find(name);
  if (content == nullptr || !fields.ok()) return out;
  if (content->is_string()) return content->as_string();
  const std::string path = fields.path_of(name);
  if (!content->is_array()) {
    fields.fail(
        name,
        str_cat(path, " is ", content->type_name(), ", expected a string or an array of parts"),
        "invalid_type");
    return out;
  }
  for (size_t i = 0; i < content->as_array().size() && fields.ok(); ++i) {
    const Json& json = content->as_array()[i];
    ApiFields part(json, str_cat(path, "[", i, "]."));
    std::string type, text;
    part.text("type", type);
    const std::string_view field = type == "refusal" ? "refusal" : "text";
    if (type == "text" || type == "input_text" || type == "output_text" || type == "refusal") {
      if (!part.has(field))
        part.fail(field, str_cat(part.path_of(field), " is missing"), "missing_field");
      part.text(field, text);
      out += text;
    } else if (part.ok() && !(other && other(type, json, part))) {
      part.fail("type", str_cat(part.path_of("type"), " is \"", type.substr(0, 40),
                                "\": this model reads text only"));
    }
    fields.take(part.error());
  }
  return out;
}

}  // namespace fathom
