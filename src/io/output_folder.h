// A folder that a long conversion fills, or some files in one, so that it can be stopped at any
// point and go on later: files appear under their names only when complete (io/files.h), a journal
// beside them says which are, and a lock on the journal keeps a second process out. When everything
// is there the journal goes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/files.h"
#include "io/model_files.h"

namespace fathom {

inline constexpr std::string_view kJournalName = ".fathom-conversion";

struct FinishedFile {
  std::string name;
  int64_t bytes = 0;
  uint64_t checksum = 0;
};

class OutputFolder {
 public:
  // plan stands for everything that decides the contents: a journal of another plan is not
  // continued. what says the same to a person ("FP8 to BF16 of models/v3"). Refused: a folder that
  // another process writes into, one with files in it but no journal of this plan unless force
  // (then files of the same names will be replaced, others stay). What earlier runs left
  // half-written is removed.
  static Result<OutputFolder> open(const std::string& path, uint64_t plan, const std::string& what,
                                   bool force);

  // Only the files of these names, in the folder of target: others there are not looked at. target
  // is what a person calls them all, "a/m.gguf"; the journal has its name. Refused: names that
  // exist, unless force or the journal is of this plan.
  static Result<OutputFolder> open_beside(const std::string& target,
                                          const std::vector<std::string>& names, uint64_t plan,
                                          const std::string& what, bool force);

  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const { return join_path(path_, name); }
  // Whether the journal begins with this process: nothing in the folder has been touched yet.
  bool is_new() const { return new_; }
  // What the journal says of earlier runs.
  const std::vector<FinishedFile>& finished() const { return finished_; }
  // Is on the disk when it returns.
  Status record(const FinishedFile& file);
  // Everything is there.
  Status close();

 private:
  OutputFolder(std::string path, std::string journal_path, std::string target)
      : path_(std::move(path)),
        journal_path_(std::move(journal_path)),
        target_(std::move(target)) {}
  Status open_journal();
  Status read_journal(uint64_t plan, const std::string& what, bool force);
  Status begin_journal(uint64_t plan, const std::string& what);
  Status append(const std::string& line);

  std::string path_;
  std::string journal_path_;
  std::string target_;  // for messages
  FileDescriptor journal_;
  std::vector<FinishedFile> finished_;
  bool new_ = true;
};

// A sentence if the folder holds a conversion that is not complete: its weights may be those of two
// models.
Status check_finished(const ModelFiles& files);

// A sentence if the two are one folder or one stands inside the other: files would be read and
// written at once.
Status check_apart(const std::string& in, const std::string& out);
// A sentence if one of the files to write is, by whatever name, one of those that are read.
Status check_no_input(const std::vector<std::string>& outputs,
                      const std::vector<std::string>& inputs);
// A sentence if the file system of the folder has less than that free.
Status check_free_space(const std::string& folder, int64_t bytes);

}  // namespace fathom
