// Content that is a text or a list of parts, as all three APIs have it.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "server/api_fields.h"

namespace fathom {

// A part that is no text: true if it has been taken. fields: its own, for what is wrong.
using OtherPart = std::function<bool(std::string_view type, const Json& part, ApiFields& fields)>;

// The text, or the texts of the parts joined (types text, input_text, output_text, refusal); empty
// if the field is absent. Parts of other types that other does not take are refused by name.
std::string read_text_or_parts(ApiFields& fields, std::string_view name,
                               const OtherPart& other = {});

}  // namespace fathom
