// Megabytes a second of the tokenizer on one thread: tokenizer_bench MODEL_FOLDER [TEXT_FILE].
// Without a file only the hostile texts: a megabyte of one thing.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "tokenizer/load_tokenizer.h"

namespace {

using Clock = std::chrono::steady_clock;

void measure(const fathom::Tokenizer& tokenizer, const char* name, const std::string& text) {
  double best = 1e30;
  size_t n_ids = 0;
  for (int run = 0; run < 5; ++run) {
    const auto start = Clock::now();
    n_ids = tokenizer.encode(text).size();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  std::printf("%-10s %8.2f MB %10zu ids %8.1f MB/s\n", name, megabytes, n_ids, megabytes / best);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const auto files = fathom::ModelFiles::open_folder(argv[1]);
  if (!files.ok()) return 1;
  const auto start = Clock::now();
  const auto tokenizer = fathom::load_tokenizer(*files);
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str());
    return 1;
  }
  std::printf("load       %.3f s\n", std::chrono::duration<double>(Clock::now() - start).count());
  if (argc > 2) {
    std::ifstream file(argv[2], std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    measure(*tokenizer, "text", content.str());
  }
  for (const char* unit : {"a", " ", "7", "!", "\n", "\u0301", "中", "ab"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    measure(*tokenizer, unit[0] == '\n' ? "newline" : unit[0] == ' ' ? "blank" : unit, text);
  }
  return 0;
}
