// Machines whose memory hangs on several processors (NUMA nodes): pages of weights are dealt out to
// all of them in turn, so that the threads of every processor read with the bandwidth of all.
// Otherwise a page lies where the thread ran that touched it first, and a model that one thread
// read in, or that fits into one node, is read through one node's memory alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace fathom {

// Node numbers of a list as the kernel writes it, "0-1,4\n", ascending; nothing if it is none.
std::optional<std::vector<int>> parse_node_list(std::string_view text);

// Deals out the pages that this process gets from now on, those of files that it is the first to
// read included. To be called before threads are made, which inherit it. Leaves alone machines with
// one node and what the caller has set (numactl). Returns over how many nodes; 1 when nothing was
// done.
int spread_over_memory_nodes();

}  // namespace fathom
