// JSON Lines as programs write them, for tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace fathom::test {

// One document a line. A line that is none fails the test and becomes null; so does a last line
// without its end.
inline std::vector<Json> json_lines(std::string_view text) {
  std::vector<Json> lines;
  EXPECT_TRUE(text.empty() || text.back() == '\n') << "the last line has no end";
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    Result<Json> json = parse_json(line);
    EXPECT_TRUE(json.ok()) << line;
    lines.push_back(json.ok() ? std::move(json).value() : Json());
  }
  return lines;
}

// The message of a line {"error": {"message", ...}}; "" if it is none.
inline std::string error_message(const Json& line) {
  const Json* error = line.find("error");
  const Json* message = error == nullptr ? nullptr : error->find("message");
  return message != nullptr && message->is_string() ? message->as_string() : std::string();
}

}  // namespace fathom::test
