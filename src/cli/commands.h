// The commands of the program: one add_* function and one file each. A command gets a CLI11 app
// that stands for itself alone (the program has already looked at the command's name), declares its
// options on it and leaves its work in invocation.run, which is called when the command line
// parsed. Results go to standard output (cli/output.h), everything else to standard error
// (base/log.h, cli/progress.h).
//
// To add a command: write src/cli/<name>.cc, declare its function here, and add its line to the
// table in main.cc. Help, the man page, shell completion and their tests follow from the
// declarations:
//   - every option has a group, a description and, if it takes a value, a default to show (a
//   captured one, or
//     ->default_str("what happens then"));
//   - set_example gives the example that --help ends with.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/result.h"

namespace fathom::cli {

struct Invocation {
  // An error without a message ends the program with its code and says nothing (it has been said).
  std::function<Status()> run;
};

using AddCommand = void (*)(CLI::App& app, Invocation& invocation);

struct Command {
  const char* name;
  const char* group;    // a heading of `fathom help`
  const char* summary;  // one line, lower case, no full stop
  AddCommand add;
};

// "fathom score --summary book.txt", without a prompt sign.
inline void set_example(CLI::App& app, std::string example) { app.footer(std::move(example)); }

void add_chat(CLI::App& app, Invocation& invocation);
void add_generate(CLI::App& app, Invocation& invocation);
void add_serve(CLI::App& app, Invocation& invocation);
void add_score(CLI::App& app, Invocation& invocation);
void add_template(CLI::App& app, Invocation& invocation);
void add_inspect(CLI::App& app, Invocation& invocation);
void add_tokenize(CLI::App& app, Invocation& invocation);
void add_bench(CLI::App& app, Invocation& invocation);
void add_load(CLI::App& app, Invocation& invocation);
void add_convert(CLI::App& app, Invocation& invocation);
void add_cast(CLI::App& app, Invocation& invocation);
void add_tokenizer(CLI::App& app, Invocation& invocation);
void add_data(CLI::App& app, Invocation& invocation);
void add_train(CLI::App& app, Invocation& invocation);
void add_gradients(CLI::App& app, Invocation& invocation);

}  // namespace fathom::cli
