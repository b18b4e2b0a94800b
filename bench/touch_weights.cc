// What a machine needs at least before a model can say a word: maps a folder's weights afresh and
// reads, once, what one token needs: every tensor but the embedding and the MTP module, and of the
// routed experts the first so many of each layer. Prints seconds and bytes.
//   touch_weights FOLDER N_LAYERS N_EXPERTS [THREADS]
// bench/load_time.py compares our start with it.
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "io/mapped_file.h"
#include "io/safetensors.h"

namespace {

using Bytes = std::span<const std::byte>;

// The number after a part of a name, or -1.
int64_t number_after(std::string_view name, std::string_view part) {
  const size_t at = name.find(part);
  int64_t number = -1;
  if (at != std::string_view::npos)
    std::from_chars(name.data() + at + part.size(), name.data() + name.size(), number);
  return number;
}

uint64_t sum_of(Bytes bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, 8);
    sum += word;
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const int64_t n_layers = std::atoll(argv[2]), n_experts = std::atoll(argv[3]);
  const auto n_threads = static_cast<size_t>(argc > 4 ? std::atoi(argv[4]) : 1);
  const auto start = std::chrono::steady_clock::now();
  std::vector<fathom::MappedFile> files;
  std::vector<Bytes> needed;
  size_t total = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (entry.path().extension() != ".safetensors") continue;
    auto mapped = fathom::MappedFile::open(entry.path());
    if (!mapped.ok()) {
      std::fprintf(stderr, "touch_weights: %s\n", mapped.error().message.c_str());
      return 1;
    }
    files.push_back(std::move(*mapped));
    const auto file = fathom::parse_safetensors(files.back().bytes(), entry.path());
    if (!file.ok()) {
      std::fprintf(stderr, "touch_weights: %s\n", file.error().message.c_str());
      return 1;
    }
    for (const auto& [name, tensor] : file->tensors) {
      if (name.find("embed_tokens") != std::string::npos) continue;
      if (number_after(name, ".layers.") >= n_layers) continue;
      if (number_after(name, ".experts.") >= n_experts) continue;
      needed.emplace_back(static_cast<const std::byte*>(tensor.data),
                          static_cast<size_t>(tensor.bytes()));
      total += needed.back().size();
    }
  }
  std::vector<uint64_t> sums(n_threads);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < n_threads; ++t) {
    threads.emplace_back([&, t] {
      for (const Bytes bytes : needed) {
        const size_t part = bytes.size() / n_threads / 64 * 64;
        sums[t] += sum_of(bytes.subspan(t * part, t + 1 == n_threads ? std::dynamic_extent : part));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  uint64_t sum = 0;
  for (const uint64_t s : sums) sum += s;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%.4f s, %zu bytes, sum %llx\n", seconds.count(), total,
              static_cast<unsigned long long>(sum));
  return 0;
}
