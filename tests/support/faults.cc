#include "tests/support/faults.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <ostream>

#include "base/check.h"
#include "tests/support/subprocess.h"

namespace fathom::test {

namespace fs = std::filesystem;

namespace {

std::string with_folder(std::string text, const std::string& folder) {
  for (size_t at = text.find("{}"); at != std::string::npos;
       at = text.find("{}", at + folder.size())) {
    text.replace(at, 2, folder);
  }
  return text;
}

// Names and sizes of everything in the folder; links are not followed.
std::vector<std::string> listing(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code stop;
  for (fs::recursive_directory_iterator it(folder, stop), end; !stop && it != end;
       it.increment(stop)) {
    const bool regular = it->is_regular_file(stop) && !it->is_symlink(stop);
    names.push_back(it->path().string() +
                    (regular ? " " + std::to_string(it->file_size(stop)) : ""));
  }
  std::sort(names.begin(), names.end());
  return names;
}

const std::string kDefaultFolder = FATHOM_TESTDATA "/../models/default";

// What a program reads of a model's folder.
std::vector<std::string> model_files(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".json" || extension == ".safetensors")
      names.push_back(entry.path().filename().string());
  }
  return names;
}

Break copies(const std::vector<std::string>& names, Break then) {
  return [names, then = std::move(then)](const TempDir& folder) {
    for (const std::string& name : names)
      fs::copy(fs::path(kDefaultFolder) / name, folder.file(name));
    if (then) then(folder);
  };
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Fault& fault) { return out << fault.name; }

void expect_one_sentence(const Fault& fault) {
  TempDir folder;
  if (fault.breaks) fault.breaks(folder);
  const std::vector<std::string> before = listing(folder.path());
  std::vector<std::string> arguments;
  for (const std::string& argument : fault.command)
    arguments.push_back(with_folder(argument, folder.path()));
  const RunResult result = run_fathom(arguments, {.input = fault.input});
  const std::string& err = result.err;
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, fault.exit_code) << err;
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(err.starts_with("fathom: ")) << err;
  EXPECT_EQ(std::count(err.begin(), err.end(), '\n'), 1) << err;
  EXPECT_TRUE(err.ends_with('\n')) << err;
  EXPECT_LE(err.size(), 600u) << err;
  EXPECT_EQ(err.find("internal error"), std::string::npos) << err;
  for (const std::string& part : fault.says) {
    EXPECT_NE(err.find(with_folder(part, folder.path())), std::string::npos)
        << "no '" << part << "' in: " << err;
  }
  EXPECT_EQ(listing(folder.path()), before) << "files were left behind";
  ::testing::Test::RecordProperty("sentence", err);  // all of them: --gtest_output=xml
}

void add_for_each(std::vector<Fault>& faults, const Fault& fault,
                  const std::vector<std::vector<std::string>>& commands, std::string_view input) {
  for (const std::vector<std::string>& command : commands) {
    FATHOM_CHECK(!command.empty(), fault.name);
    Fault one = fault;
    std::string verb = command.front();
    verb[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(verb[0])));
    one.name += "_" + verb;
    one.command = command;
    one.input = input;
    faults.push_back(std::move(one));
  }
}

std::string fault_name(const ::testing::TestParamInfo<Fault>& info) { return info.param.name; }

Break replace_in(std::string file, std::string what, std::string with) {
  return [=](const TempDir& folder) {
    std::string text = read_file(folder.file(file));
    const size_t at = text.find(what);
    FATHOM_CHECK(at != std::string::npos, file, " does not hold ", what);
    folder.write(file, text.replace(at, what.size(), with));
  };
}

Break put(std::string file, std::string content) {
  return [=](const TempDir& folder) { folder.write(file, content); };
}

Break in_order(std::vector<Break> steps) {
  return [steps = std::move(steps)](const TempDir& folder) {
    for (const Break& step : steps) step(folder);
  };
}

Break default_model(Break then) { return copies(model_files(kDefaultFolder), std::move(then)); }

Break default_tokenizer(Break then) {
  return copies({"tokenizer.json", "tokenizer_config.json"}, std::move(then));
}

}  // namespace fathom::test
