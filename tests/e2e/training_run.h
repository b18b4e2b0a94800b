// A small training run for tests of `fathom train`: a tokenizer of bytes, shards of a made-up text,
// a configuration of a tiny model, the program that trains it, and what it left behind.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tests/support/running_fathom.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_dir.h"

namespace fathom::test {

using Words = std::vector<std::string>;

// The folder's files: tokenizer/, documents.jsonl, run.toml; shards/ by `fathom data`.
struct TrainingFolder {
  static constexpr int64_t kSequenceLength = 32;
  TrainingFolder();

  // What `fathom train` is given; the output is a name in the folder.
  Words train(const std::string& output, const Words& sets = {}) const;
  Words resume(const std::string& output, const Words& sets = {}) const;
  std::string output(const std::string& name) const { return dir.file(name); }
  std::string checkpoint(const std::string& output, int64_t step) const;
  // Steps of the checkpoints there, ascending; of names that are no checkpoint -1.
  std::vector<int64_t> checkpoints(const std::string& output) const;
  // Lines of the log, without what the clock says.
  std::vector<Json> log(const std::string& output) const;
  std::string log_text(const std::string& output) const;

  TempDir dir;
};

// The configuration above, for tests that break it: paths are tokenizer and shards.
std::string training_configuration();
// The tokenizer, documents and shards it names, in the folder.
void make_training_files(const TempDir& dir);

// Name and bytes of each file.
std::map<std::string, std::string> files_of(const std::string& folder);
// Says which files differ, not how.
void expect_same_files(const std::string& a, const std::string& b);

// Runs the program; it must end well, with nothing on standard output. Its standard error.
std::string train_well(const Words& arguments);

}  // namespace fathom::test
