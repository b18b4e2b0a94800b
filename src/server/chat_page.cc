#include "server/chat_page.h"

namespace fathom {

namespace {
std::string_view registered_page;
}  // namespace

void register_chat_page(std::span<const EmbeddedFile> files) {
  for (const EmbeddedFile& file : files)
    if (file.name == "index.html")
      registered_page = {reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size()};
}

std::string_view chat_page() { return registered_page; }

HttpResponse chat_page_response(std::string_view page) {
  HttpResponse out;
  out.content_type = "text/html; charset=utf-8";
  out.headers = {{"Cache-Control", "no-cache"},
                 {"Content-Security-Policy", "frame-ancestors 'none'"},
                 {"Cross-Origin-Opener-Policy", "same-origin"},
                 {"Referrer-Policy", "no-referrer"},
                 {"X-Content-Type-Options", "nosniff"}};
  out.body = page;
  return out;
}

}  // namespace fathom
