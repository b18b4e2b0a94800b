#include "tests/e2e/running_server.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace fathom::test {

namespace {

std::vector<std::string> all_arguments(const std::vector<std::string>& arguments) {
  std::vector<std::string> out = {"serve", "--port", "0", "--threads", "2"};
  out.insert(out.end(), arguments.begin(), arguments.end());
  return out;
}

}  // namespace

RunningServer::RunningServer(const std::vector<std::string>& arguments)
    : program_(all_arguments(arguments), 0, dir_.file("log")) {
  for (int i = 0; i < 3000 && port_ == 0 && !program_.ended(); ++i) {
    ::usleep(10'000);
    const std::string text = log();
    const size_t at = text.find("127.0.0.1:");
    if (at != std::string::npos && text.find('\n', at) != std::string::npos)
      port_ = std::atoi(text.c_str() + at + 10);
  }
  EXPECT_GT(port_, 0) << log();
}

std::string RunningServer::log() const {
  std::ifstream file(dir_.file("log"));
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

double RunningServer::metric(std::string_view name) const {
  const std::string page = ask("GET", "/metrics").body;
  const std::string line = "\nfathom_" + std::string(name) + " ";
  const size_t at = page.find(line);
  return at == std::string::npos ? -1 : std::atof(page.c_str() + at + line.size());
}

bool RunningServer::wait_for(std::string_view name, double value) const {
  for (int i = 0; i < 1000; ++i) {
    if (metric(name) == value) return true;
    ::usleep(10'000);
  }
  return false;
}

}  // namespace fathom::test
