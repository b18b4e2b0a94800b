#include "cli/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <iostream>

#include "cli/interrupt.h"
#include "io/files.h"

namespace fathom::cli {

namespace {
constexpr int kHistoryEntries = 1000;

// How long a Ctrl-C can go unseen. It may come between the look at the flag and the wait for a key,
// where no read is there to be interrupted.
constexpr int kLookMs = 100;

// The next character for libedit: 1, 0 at the end of the input, -1 for an error or a Ctrl-C.
int read_char(EditLine*, wchar_t* character) {
  std::mbstate_t state = {};
  while (true) {
    pollfd waiting = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    const int ready = poll(&waiting, 1, kLookMs);
    if (interrupted()) {
      errno = EINTR;
      return -1;
    }
    if (ready < 0 && errno != EINTR) return -1;
    if (ready <= 0) continue;
    char byte = 0;
    const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
    if (n == 0) return 0;
    if (n < 0) return -1;
    const size_t length = std::mbrtowc(character, &byte, 1, &state);
    if (length == static_cast<size_t>(-1)) state = {};  // not UTF-8: dropped
    if (length <= 1) return 1;
  }
}
}  // namespace

struct LineEditor::State {
  std::string prompt;
  std::string history_file;
  History* history = nullptr;
  EditLine* editor = nullptr;  // null: not at a terminal

  static char* prompt_of(EditLine* editor) {
    State* state = nullptr;
    el_get(editor, EL_CLIENTDATA, &state);
    return state->prompt.data();
  }
};

LineEditor::LineEditor(bool interactive, std::string history_file)
    : state_(std::make_unique<State>()) {
  if (!interactive) return;
  std::setlocale(LC_CTYPE, "C.UTF-8");
  state_->history_file = std::move(history_file);
  state_->editor = el_init("fathom", stdin, stderr, stderr);
  state_->history = history_init();
  if (state_->editor == nullptr) return;
  el_set(state_->editor, EL_CLIENTDATA, state_.get());
  el_set(state_->editor, EL_PROMPT, &State::prompt_of);
  el_set(state_->editor, EL_EDITOR, "emacs");
  el_set(state_->editor, EL_SIGNAL, 0);
  el_set(state_->editor, EL_GETCFN, &read_char);
  if (state_->history != nullptr) {
    HistEvent event;
    history(state_->history, &event, H_SETSIZE, kHistoryEntries);
    history(state_->history, &event, H_SETUNIQUE, 1);
    el_set(state_->editor, EL_HIST, history, state_->history);
    if (!state_->history_file.empty())
      history(state_->history, &event, H_LOAD, state_->history_file.c_str());
  }
  el_source(state_->editor, nullptr);  // a person's ~/.editrc
}

LineEditor::~LineEditor() {
  if (state_->history != nullptr) {
    HistEvent event;
    if (!state_->history_file.empty())
      history(state_->history, &event, H_SAVE, state_->history_file.c_str());
    history_end(state_->history);
  }
  if (state_->editor != nullptr) el_end(state_->editor);
}

ReadOutcome LineEditor::read(const std::string& prompt, std::string& line) {
  if (state_->editor == nullptr) {
    if (std::getline(std::cin, line)) return ReadOutcome::kLine;
    return interrupted() ? ReadOutcome::kInterrupted : ReadOutcome::kEnd;
  }
  state_->prompt = prompt;
  int count = 0;
  errno = 0;
  const char* text = el_gets(state_->editor, &count);
  if (text == nullptr || count <= 0) {
    if (interrupted() || errno == EINTR) {
      std::fputc('\n', stderr);
      return ReadOutcome::kInterrupted;
    }
    return ReadOutcome::kEnd;
  }
  line.assign(text, static_cast<size_t>(count));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  return ReadOutcome::kLine;
}

void LineEditor::remember(const std::string& entry) {
  if (state_->history == nullptr || entry.empty()) return;
  HistEvent event;
  history(state_->history, &event, H_ENTER, entry.c_str());
}

std::string default_history_file() {
  std::string folder;
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && state[0] == '/') {
    folder = join_path(state, "fathom");
  } else if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/') {
    folder = join_path(home, ".local/state/fathom");
  }
  if (folder.empty() || !make_directories(folder).ok()) return "";
  return join_path(folder, "chat_history");
}

}  // namespace fathom::cli
