#include "load/url.h"

#include <charconv>

#include "base/str_cat.h"

namespace fathom {

namespace {

constexpr size_t kUrlBytesMax = 2048;

// Nothing that could end a line of a header, or a part of the address that is not meant to be one.
bool is_plain(std::string_view text) {
  for (const char c : text)
    if (c <= ' ' || c == '\x7f' || c == '"' || c == '<' || c == '>' || c == '\\') return false;
  return true;
}

bool parse_port(std::string_view text, int& port) {
  const char* const end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, port);
  return ec == std::errc() && rest == end && port >= 1 && port <= 65535;
}

// "[::1]:8080" -> host and port; a port that is not there stays as it is.
bool parse_authority(std::string_view text, Url& url) {
  size_t end = text.find(':');
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    url.host = text.substr(1, close - 1);
    end = close + 1;
    if (end < text.size() && text[end] != ':') return false;
  } else {
    url.host = text.substr(0, end);
  }
  const bool has_port = end < text.size();
  return !url.host.empty() && (!has_port || parse_port(text.substr(end + 1), url.port));
}

}  // namespace

std::string Url::authority() const {
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == (tls ? 443 : 80) ? name : str_cat(name, ":", port);
}

std::string Url::origin() const { return str_cat(tls ? "https://" : "http://", authority()); }

Result<Url> parse_url(std::string_view text) {
  const auto fail = [text](std::string_view why) {
    return usage_error("'", text.substr(0, 200), "' is no address of a server: ", why,
                       "; write it as in http://127.0.0.1:8080");
  };
  if (text.size() > kUrlBytesMax || !is_plain(text))
    return fail("it is too long, or holds blanks or signs that an address cannot have");
  Url url;
  std::string_view rest = text;
  if (const size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    url.tls = text.substr(0, scheme) == "https";
    if (!url.tls && text.substr(0, scheme) != "http") return fail("it is neither http nor https");
    rest.remove_prefix(scheme + 3);
  }
  url.port = url.tls ? 443 : 80;
  if (rest.find_first_of("?#@") != std::string_view::npos)
    return fail("a query, a fragment or a user has no place in it");
  const size_t slash = rest.find('/');
  if (!parse_authority(rest.substr(0, slash), url)) return fail("its host or port is wrong");
  if (slash != std::string_view::npos) url.base = rest.substr(slash);
  while (url.base.ends_with('/')) url.base.pop_back();
  if (url.base.empty()) url.base = "/v1";
  return url;
}

}  // namespace fathom
