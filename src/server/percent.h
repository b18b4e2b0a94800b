// Escapes of addresses: "%2F" is "/" (RFC 3986).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fathom {

// Nothing if a % has no two hexadecimal digits behind it. The bytes may be any.
std::optional<std::string> percent_decoded(std::string_view text);

}  // namespace fathom
