// Lines that a person types: with editing and history (libedit) at a terminal, plain otherwise. The
// one place that knows libedit.
#pragma once

#include <memory>
#include <string>

namespace fathom::cli {

enum class ReadOutcome { kLine, kEnd, kInterrupted };

class LineEditor {
 public:
  // interactive: standard input is a terminal. history_file: where history is kept between runs, ""
  // for nowhere; one that cannot be read or written is done without.
  LineEditor(bool interactive, std::string history_file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // One line without its end. The prompt is shown only at a terminal.
  ReadOutcome read(const std::string& prompt, std::string& line);
  void remember(const std::string& entry);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// $XDG_STATE_HOME/fathom/chat_history, or under ~/.local/state; the folder is made. "" if there is
// no home.
std::string default_history_file();

}  // namespace fathom::cli
