#include "server/http_head.h"

#include <boost/beast/http.hpp>

#include "base/str_cat.h"

namespace fathom {

namespace http = boost::beast::http;

std::string http_head(const HttpResponse& response, const HttpHeadForm& form) {
  http::response_header<> head;
  head.result(static_cast<unsigned>(response.status));
  head.set(http::field::content_type, response.content_type);
  for (const auto& [name, value] : response.headers) head.set(name, value);
  if (response.status == 204) {
    // has no body, and so no length
  } else if (!form.streams) {
    head.set(http::field::content_length, std::to_string(response.body.size()));
  } else if (!form.http_1_0) {
    head.set(http::field::transfer_encoding, "chunked");
  }
  head.set(http::field::connection, form.keep_alive ? "keep-alive" : "close");
  const auto view = [](auto text) { return std::string_view(text.data(), text.size()); };
  std::string out = str_cat("HTTP/1.", form.http_1_0 ? "0" : "1", " ", response.status, " ",
                            view(http::obsolete_reason(head.result())), "\r\n");
  for (const auto& field : head)
    str_append(out, view(field.name_string()), ": ", view(field.value()), "\r\n");
  return out += "\r\n";
}

}  // namespace fathom
