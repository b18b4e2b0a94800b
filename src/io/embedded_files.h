// The files inside the program: its model, and the chat page. Their bytes are libraries of their
// own (fathom_embedded and fathom_chat_page, cmake/FathomEmbed.cmake), which only programs link;
// they hand the lists to register_embedded_model (io/model_files.h) and register_chat_page
// (server/chat_page.h).
#pragma once

#include <span>

#include "io/model_files.h"

namespace fathom {

std::span<const EmbeddedFile> default_model_files();
std::span<const EmbeddedFile> chat_page_files();

}  // namespace fathom
