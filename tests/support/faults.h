// A table of things that are broken, each run through the program itself: every one must be
// answered by one sentence that names what is wrong, with the right exit code, in a bounded time,
// and leave nothing behind.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/temp_dir.h"

namespace fathom::test {

using Break = std::function<void(const TempDir&)>;

struct Fault {
  std::string name;                  // what is broken, as the name of a test
  Break breaks;                      // prepares the folder; none: it stays empty
  std::vector<std::string> command;  // without the program; "{}" stands for the folder
  std::vector<std::string> says;     // what the sentence must hold; "{}" as above
  int exit_code = 1;                 // 1: a file, the input or the machine; 2: wrong usage
  std::string input = {};            // standard input
};
std::ostream& operator<<(std::ostream& out, const Fault& fault);

// Prepares, runs and checks: in time; the exit code; nothing on standard output; one line on
// standard error, which begins with "fathom: ", holds what it must, is no longer than 600 bytes and
// no message of a sanitizer; the files of the folder are those that were there before.
void expect_one_sentence(const Fault& fault);

// The same fault met by several commands: one entry for each, named after it.
void add_for_each(std::vector<Fault>& faults, const Fault& fault,
                  const std::vector<std::vector<std::string>>& commands,
                  std::string_view input = {});

class FaultTest : public ::testing::TestWithParam<Fault> {};

// For INSTANTIATE_TEST_SUITE_P.
std::string fault_name(const ::testing::TestParamInfo<Fault>& info);

// One fault in a text file of the folder: the first occurrence of a text replaced (it must be
// there).
Break replace_in(std::string file, std::string what, std::string with);
// The file with this content in its place.
Break put(std::string file, std::string content);
// Several steps, in order.
Break in_order(std::vector<Break> steps);
// The files of the default model (models/default of the sources), or those of them that are named,
// then the fault.
Break default_model(Break then);
Break default_tokenizer(Break then);

}  // namespace fathom::test
