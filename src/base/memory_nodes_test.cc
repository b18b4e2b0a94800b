// Goal: lists of nodes are read as the kernel writes them, and a machine with one node is left as
// it is.
#include "base/memory_nodes.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

using Nodes = std::vector<int>;

TEST(MemoryNodes, ListsAreRead) {
  EXPECT_EQ(parse_node_list("0\n"), Nodes({0}));
  EXPECT_EQ(parse_node_list("0-1"), Nodes({0, 1}));
  EXPECT_EQ(parse_node_list("0,2-4,7\n"), Nodes({0, 2, 3, 4, 7}));
  EXPECT_EQ(parse_node_list(""), Nodes());
}

TEST(MemoryNodes, WhatIsNoListIsNothing) {
  for (const char* text :
       {"a", "-1", "1-", "3-1", "0,", ",0", "1,0", "0 1", "0-5000", "99999999999"})
    EXPECT_EQ(parse_node_list(text), std::nullopt) << text;
}

TEST(MemoryNodes, SpreadingSaysOverHowMany) {
  const int n = spread_over_memory_nodes();
  EXPECT_GE(n, 1);
  // A second time what was set is left alone.
  EXPECT_EQ(spread_over_memory_nodes(), 1);
}

}  // namespace
}  // namespace fathom
