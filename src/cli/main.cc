// The program: finds the command, parses its options, runs it and turns what comes back into an
// exit code (0 done, 1 the input or the machine, 2 wrong usage, 130 interrupted).
#include <fcntl.h>

#include <exception>
#include <new>
#include <string>
#include <vector>

#include "base/memory_nodes.h"
#include "base/suggest.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/man_page.h"
#include "cli/output.h"
#include "cli/parse.h"
#include "cli/version.h"
#include "io/embedded_files.h"
#include "io/mapped_file.h"
#include "kernels/dispatch.h"
#include "server/chat_page.h"

namespace fathom::cli {
namespace {

constexpr const char* kRunning = "Running";
constexpr const char* kWeights = "Weights";
constexpr const char* kTraining = "Training";
constexpr const char* kMeasuring = "Measuring";

// The commands in the order of `fathom help`, those of one group together. A line is
// {name, group, summary, add_function}.
const std::vector<Command> kCommands = {
    {"chat", kRunning, "a conversation in the terminal", add_chat},
    {"generate", kRunning, "one prompt, or a file of prompts or requests, to text", add_generate},
    {"serve", kRunning, "a server with the OpenAI API", add_serve},
    {"score", kRunning, "log-probabilities and perplexity of text or ids", add_score},
    {"tokenize", kRunning, "text to token ids, and ids to text", add_tokenize},
    {"template", kRunning, "the prompt that a chat template makes of messages", add_template},
    {"inspect", kWeights, "what a model is made of and what it needs", add_inspect},
    {"convert", kWeights, "the same weights in other files", add_convert},
    {"cast", kWeights, "the same weights in another precision", add_cast},
    {"tokenizer", kTraining, "a tokenizer from text", add_tokenizer},
    {"data", kTraining, "text and conversations to token shards", add_data},
    {"train", kTraining, "a model from token shards, from nothing or from a checkpoint", add_train},
    {"gradients", kTraining, "losses and gradients of one batch", add_gradients},
    {"bench", kMeasuring, "how fast a model runs, beside what this machine could do", add_bench},
    {"load", kMeasuring, "how servers of the OpenAI API answer under load", add_load},
};

// A file opened later must not get the number of a standard one that the caller has closed.
void open_standard_files() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDWR));
  }
}

Status write_version() {
  std::string sets;
  for (const Isa isa : available_isas()) str_append(sets, " ", isa_name(isa));
  return standard_output().write(str_cat("fathom ", kVersion, "\ncommit ", kCommit, "\ncompiler ",
                                         kCompiler, "\ninstruction sets", sets, "\n"));
}

// For the build, which installs them.
Status write_man_page() { return standard_output().write(man_page(kCommands, kVersion)); }
Status write_completion(const std::vector<std::string>& arguments) {
  FATHOM_TRY(const std::string script,
             completion_script(kCommands, arguments.empty() ? "" : arguments.front()));
  return standard_output().write(script);
}

Status run_command(const std::string& name, const std::vector<std::string>& arguments) {
  for (const Command& command : kCommands) {
    if (name != command.name) continue;
    Invocation invocation;
    const auto app = make_app(command, invocation);
    FATHOM_TRY(const ParseOutcome outcome, parse_arguments(*app, arguments));
    if (outcome == ParseOutcome::kHelp) return standard_output().write(command_help(*app));
    return invocation.run();
  }
  std::vector<std::string> names = {"help"};
  for (const Command& command : kCommands) names.emplace_back(command.name);
  return usage_error("there is no command '", name, "'; did you mean '", nearest_name(name, names),
                     "'? `fathom help` lists them");
}

Status dispatch(std::vector<std::string> arguments) {
  if (arguments.empty()) return standard_output().write(command_list(kCommands));
  std::string name = arguments.front();
  arguments.erase(arguments.begin());
  if (name == "help" || name == "--help" || name == "-h") {
    if (arguments.empty()) return standard_output().write(command_list(kCommands));
    return run_command(arguments.front(), {"--help"});
  }
  if (name == "--version") return write_version();
  if (name == "man") return write_man_page();
  if (name == "completion") return write_completion(arguments);
  if (name.starts_with("-")) {
    return usage_error("there is no option '", name, "' before a command; did you mean '",
                       nearest_name(name, {"--help", "--version"}), "'?");
  }
  return run_command(name, arguments);
}

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUsage:
      return 2;
    case ErrorCode::kInterrupted:
      return 130;
    case ErrorCode::kInvalid:
    case ErrorCode::kUnsupported:
    case ErrorCode::kIo:
    case ErrorCode::kExhausted:
      return 1;
  }
  return 1;
}

int run(std::vector<std::string> arguments) {
  Status status = dispatch(std::move(arguments));
  const Status written = standard_output().flush();
  if (status.ok()) status = written;
  if (status.ok()) return 0;
  if (!status.error().message.empty()) print_error(status.error().message);
  return exit_code(status.error().code);
}

}  // namespace
}  // namespace fathom::cli

int main(int argc, char** argv) {
  fathom::cli::open_standard_files();
  fathom::spread_over_memory_nodes();
  fathom::cli::install_signal_handlers();
  fathom::install_sigbus_message();
  fathom::register_embedded_model(fathom::default_model_files());
  fathom::register_chat_page(fathom::chat_page_files());
  fathom::cli::set_verbosity(fathom::LogLevel::kWarning, false);
  // We do not throw; what libraries throw ends here at the latest.
  try {
    return fathom::cli::run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  } catch (const std::bad_alloc&) {
    fathom::cli::print_error(
        "out of memory; close other programs, or give less context or a smaller model");
  } catch (const std::exception& error) {
    fathom::cli::print_error(error.what());
  }
  return 1;
}
