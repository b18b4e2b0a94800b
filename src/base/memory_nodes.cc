#include "base/memory_nodes.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>

namespace fathom {

namespace {

constexpr int kNodesMax = 1024;
constexpr int kWordBits = 8 * sizeof(unsigned long);

// Of nodes that have memory those that this process may use.
std::vector<int> usable_nodes() {
  std::string with_memory, line;
  std::ifstream nodes("/sys/devices/system/node/has_memory");
  std::getline(nodes, with_memory);
  std::vector<int> out = parse_node_list(with_memory).value_or(std::vector<int>());
  if (out.size() < 2) return out;
  constexpr std::string_view kAllowed = "Mems_allowed_list:";
  std::ifstream status("/proc/self/status");
  while (std::getline(status, line)) {
    if (!line.starts_with(kAllowed)) continue;
    line.erase(0, line.find_first_not_of(" \t", kAllowed.size()));
    const auto allowed = parse_node_list(line);
    if (allowed)
      std::erase_if(out, [&](int n) { return !std::ranges::binary_search(*allowed, n); });
  }
  return out;
}

}  // namespace

std::optional<std::vector<int>> parse_node_list(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  std::vector<int> nodes;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&]() -> std::optional<int> {
    int value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 0 || value >= kNodesMax) return std::nullopt;
    at = next;
    return value;
  };
  while (at != end) {
    const std::optional<int> first = number();
    std::optional<int> last = first;
    if (first && at != end && *at == '-') {
      ++at;
      last = number();
    }
    if (!first || !last || *last < *first || (!nodes.empty() && *first <= nodes.back()))
      return std::nullopt;
    for (int n = *first; n <= *last; ++n) nodes.push_back(n);
    if (at == end) break;
    if (*at != ',' || ++at == end) return std::nullopt;
  }
  return nodes;
}

int spread_over_memory_nodes() {
  const std::vector<int> nodes = usable_nodes();
  if (nodes.size() < 2) return 1;
  int mode = MPOL_DEFAULT;
  if (::syscall(SYS_get_mempolicy, &mode, nullptr, 0, nullptr, 0) != 0 || mode != MPOL_DEFAULT)
    return 1;
  std::array<unsigned long, kNodesMax / kWordBits> mask = {};
  for (const int n : nodes) mask[static_cast<size_t>(n / kWordBits)] |= 1UL << (n % kWordBits);
  // The kernel reads one bit fewer than it is told.
  if (::syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, mask.data(), kNodesMax + 1) != 0) return 1;
  return static_cast<int>(std::ssize(nodes));
}

}  // namespace fathom
