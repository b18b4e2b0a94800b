// The head of an answer as bytes (RFC 9112).
#pragma once

#include <string>

#include "server/http_server.h"

namespace fathom {

struct HttpHeadForm {
  bool http_1_0 = false;
  bool streams = false;  // the body's length is not known
  bool keep_alive = true;
};
std::string http_head(const HttpResponse& response, const HttpHeadForm& form);

}  // namespace fathom
