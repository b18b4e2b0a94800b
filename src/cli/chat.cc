// `fathom chat`: a conversation in the terminal. The answer goes to standard output as it comes,
// everything else to standard error, so that a pipe gets the answers alone.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <random>
#include <string>

#include "cli/chat_session.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json_lines.h"
#include "cli/line_editor.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "io/files.h"

namespace fathom::cli {

namespace {

constexpr int64_t kConversationBytesMax = int64_t{64} << 20;
constexpr const char* kHelp =
    "/help           this list\n"
    "/clear          begin a new conversation; the system prompt stays\n"
    "/system [TEXT]  set the system prompt and begin anew; without TEXT, show it\n"
    "/save FILE      write the conversation as JSON\n"
    "/load FILE      go on with a saved conversation\n"
    "/retry          answer the last question again\n"
    "/exit           leave (also Ctrl-D)\n"
    "A line that ends with \\ goes on in the next one; \"\"\" begins and ends a text of several "
    "lines.\n"
    "Ctrl-C stops an answer.\n";

struct ChatCommand {
  CommonOptions common;
  ChatOptions chat;
};

class Terminal {
 public:
  Terminal() : interactive_(isatty(STDIN_FILENO) != 0), colour_(colour_on(STDOUT_FILENO)) {}

  bool interactive() const { return interactive_; }
  void say(const std::string& text) const {
    if (!quiet()) std::fputs(text.c_str(), stderr);
  }
  Status show(std::string_view text, bool reasoning) {
    std::string out;
    if (colour_ && reasoning != dimmed_) out += reasoning ? "\033[2m" : "\033[0m";
    dimmed_ = reasoning;
    ends_with_newline_ = text.back() == '\n';
    return standard_output().write_now(out.append(text));
  }
  // The answer is over: whole lines, plain colours.
  Status end_answer() {
    std::string out;
    if (colour_ && dimmed_) out += "\033[0m";
    dimmed_ = false;
    if (!ends_with_newline_) out += '\n';
    ends_with_newline_ = true;
    return out.empty() ? Status() : standard_output().write_now(out);
  }

 private:
  bool interactive_, colour_;
  bool dimmed_ = false;
  bool ends_with_newline_ = true;
};

std::string rounded(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.1f", value);
  return buffer;
}

class Chat {
 public:
  Chat(LoadedModel& model, const ChatOptions& options)
      : session_(model, options),
        editor_(terminal_.interactive(), terminal_.interactive() ? default_history_file() : "") {}

  Status run() {
    const InterruptScope scope;
    if (terminal_.interactive())
      terminal_.say("Type a message, /help for help, Ctrl-D to leave.\n");
    while (true) {
      std::string text;
      switch (read_message(text)) {
        case ReadOutcome::kEnd:
          if (terminal_.interactive()) terminal_.say("\n");
          return {};
        case ReadOutcome::kInterrupted:
          clear_interrupted();
          if (!terminal_.interactive()) return interrupted_error();
          terminal_.say("(Ctrl-D or /exit leaves)\n");
          continue;
        case ReadOutcome::kLine:
          break;
      }
      if (text.find_first_not_of(" \t\r\n") == std::string::npos) continue;
      editor_.remember(text);
      if (text.front() == '/') {
        bool leave = false;
        FATHOM_RETURN_IF_ERROR(run_command(text, &leave));
        if (leave) return {};
      } else {
        FATHOM_RETURN_IF_ERROR(
            take_turn([&](const TextSink& sink) { return session_.say(text, sink, stopper()); }));
      }
    }
  }

 private:
  static std::function<bool()> stopper() {
    return [] { return interrupted(); };
  }

  // One message, which may take several lines.
  ReadOutcome read_message(std::string& text) {
    std::string line;
    const ReadOutcome first = editor_.read("> ", line);
    if (first != ReadOutcome::kLine) return first;
    if (line.starts_with("\"\"\"")) {
      text = line.substr(3);
      while (!text.ends_with("\"\"\"")) {
        const ReadOutcome next = editor_.read(". ", line);
        if (next == ReadOutcome::kInterrupted) return next;
        if (next == ReadOutcome::kEnd) return ReadOutcome::kLine;
        text += (text.empty() ? "" : "\n") + line;
      }
      text.resize(text.size() - 3);
      return ReadOutcome::kLine;
    }
    while (line.ends_with("\\")) {
      line.back() = '\n';
      text += line;
      const ReadOutcome next = editor_.read(". ", line);
      if (next == ReadOutcome::kInterrupted) return next;
      if (next == ReadOutcome::kEnd) return ReadOutcome::kLine;
    }
    text += line;
    return ReadOutcome::kLine;
  }

  template <typename Say>
  Status take_turn(const Say& say) {
    Result<TurnReport> report =
        say([&](std::string_view text, bool reasoning) { return terminal_.show(text, reasoning); });
    const bool stopped = interrupted();
    clear_interrupted();
    FATHOM_RETURN_IF_ERROR(terminal_.end_answer());
    if (!report.ok()) return complain(report.error());
    if (report->n_dropped > 0) {
      terminal_.say(str_cat("(the context is full: the ", report->n_dropped,
                            " oldest messages were dropped, the system prompt stays)\n"));
    }
    if (stopped) terminal_.say("(stopped)\n");
    if (report->finish == FinishReason::kLength)
      terminal_.say("(the answer ends here: its length is used up)\n");
    if (terminal_.interactive()) terminal_.say(summary(*report));
    if (stopped && !terminal_.interactive()) return interrupted_error();
    return {};
  }

  std::string summary(const TurnReport& report) const {
    std::string out = str_cat("[", report.n_generated, " tokens");
    if (report.n_generated > 1 && report.decode_seconds > 0) {
      out += str_cat(", ",
                     rounded(static_cast<double>(report.n_generated - 1) / report.decode_seconds),
                     " tokens/s");
    }
    return out + str_cat(", first after ", rounded(report.prefill_seconds), " s, context ",
                         report.n_prompt + report.n_generated, " of ", session_.context(), "]\n");
  }

  // At a terminal a person can go on after a mistake; in a script it ends the program.
  Status complain(const Error& error) {
    if (!terminal_.interactive() || error.message.empty()) return error;
    print_error(error.message);
    return {};
  }

  Status run_command(const std::string& text, bool* leave) {
    const size_t blank = text.find_first_of(" \t");
    const std::string name = text.substr(0, blank);
    const size_t begin =
        blank == std::string::npos ? std::string::npos : text.find_first_not_of(" \t", blank);
    const std::string argument = begin == std::string::npos ? "" : text.substr(begin);
    if (name == "/exit" || name == "/quit") {
      *leave = true;
    } else if (name == "/help") {
      terminal_.say(kHelp);
    } else if (name == "/clear") {
      session_.clear();
      terminal_.say("(a new conversation)\n");
    } else if (name == "/system") {
      set_system(argument);
    } else if (name == "/retry") {
      return take_turn([&](const TextSink& sink) { return session_.retry(sink, stopper()); });
    } else if (name == "/save" || name == "/load") {
      const Status status = argument.empty()  ? Status(usage_error(name, " needs a file's name"))
                            : name == "/save" ? save(argument)
                                              : load(argument);
      if (!status.ok()) return complain(status.error());
    } else {
      return complain(usage_error("there is no command ", name,
                                  "; /help lists them (a message may not begin with /)"));
    }
    return {};
  }

  void set_system(const std::string& argument) {
    if (argument.empty()) {
      terminal_.say(session_.system().empty() ? "(no system prompt)\n" : session_.system() + "\n");
      return;
    }
    session_.set_system(argument);
    session_.clear();
    terminal_.say("(system prompt set, a new conversation)\n");
  }

  Status save(const std::string& file) {
    FATHOM_RETURN_IF_ERROR(
        write_file(file, session_.to_json().dump_pretty() + "\n", /*force=*/false));
    terminal_.say(str_cat("(saved ", session_.n_messages(), " messages to ", file, ")\n"));
    return {};
  }

  Status load(const std::string& file) {
    FATHOM_TRY(const std::string text, read_file(file, kConversationBytesMax));
    const Result<Json> json = parse_json(text);
    if (!json.ok()) return invalid_error(file, ": ", json.error().message);
    if (const Status status = session_.from_json(*json); !status.ok()) {
      return invalid_error(file, " is not a saved conversation: ", status.error().message);
    }
    terminal_.say(str_cat("(loaded ", session_.n_messages(), " messages from ", file, ")\n"));
    return {};
  }

  Terminal terminal_;
  ChatSession session_;
  LineEditor editor_;
};

Status run_chat(ChatCommand& command) {
  FATHOM_TRY(const auto model, load(load_options(command.common)));
  // Two conversations differ unless a seed is given.
  command.chat.seed = command.common.seed.value_or(std::random_device{}());
  const Status status = Chat(*model, command.chat).run();
  note_streaming(*model);
  return status;
}

}  // namespace

void add_chat(CLI::App& app, Invocation& invocation) {
  auto command = std::make_shared<ChatCommand>();
  add_common_options(app, command->common, kRunOptions | kDraftsOption);
  app.add_option("--system", command->chat.system, "the system prompt")
      ->default_str("none")
      ->group("Conversation");
  app.add_flag("--thinking", command->chat.thinking, "ask the template for reasoning")
      ->group("Conversation");
  add_sampling_options(app, command->chat.sampling);
  set_example(app, "fathom chat --system \"Answer in one sentence.\"");
  invocation.run = [command] { return run_chat(*command); };
}

}  // namespace fathom::cli
