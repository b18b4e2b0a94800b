// The chat page that is served at "/": one file of HTML, whose own policy names its script and
// styles (web/README.md). A program has one or none.
#pragma once

#include <span>
#include <string_view>

#include "io/model_files.h"
#include "server/http_server.h"

namespace fathom {

// index.html of the files, whose bytes outlive the program's servers.
void register_chat_page(std::span<const EmbeddedFile> files);
// Empty: there is none.
std::string_view chat_page();

// The answer to a request for it: never framed, never guessed at, asked for again each time.
HttpResponse chat_page_response(std::string_view page);

}  // namespace fathom
