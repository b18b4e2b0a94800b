#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "tokenizer/regex_dialect.h"
#include "tokenizer/vocabulary.h"

namespace fathom {
namespace {

// One search is cut off here, in JIT code too (which counts its backtracking).
constexpr uint32_t kStepsMax = 100'000'000;
constexpr uint32_t kHeapKibMax = 1 << 20;
constexpr size_t kJitStackMax = size_t{64} << 20;

// A pattern that needs more steps than this for a byte of a probe is not linear.
constexpr size_t kProbeBytes = 1024;
constexpr uint32_t kProbeStepsPerByte = 64;
constexpr uint32_t kProbeStepsMin = 256;

const unsigned char* bytes_of(std::string_view text) {
  // PCRE2 wants a pointer even of an empty text.
  return reinterpret_cast<const unsigned char*>(text.data() == nullptr ? "" : text.data());
}

}  // namespace

struct Regex::Code {
  pcre2_code* code;
  explicit Code(pcre2_code* compiled) : code(compiled) {}
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() { pcre2_code_free(code); }
};

struct Regex::Matcher::State {
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, kJitStackMax, nullptr);

  State() {
    pcre2_set_match_limit(context, kStepsMax);
    pcre2_set_depth_limit(context, kStepsMax);
    pcre2_set_heap_limit(context, kHeapKibMax);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~State() {
    pcre2_jit_stack_free(stack);
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
  }
};

Regex::Matcher::Matcher() : state_(std::make_unique<State>()) {}
Regex::Matcher::~Matcher() = default;

namespace {

// Frees what PCRE2 allocated.
struct Deleter {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Deleter>;

constexpr uint32_t kMatchOptions = PCRE2_NOTEMPTY | PCRE2_NO_UTF_CHECK;

Result<Owned<pcre2_code>> compile_code(std::string_view pattern, uint32_t more_options) {
  const Owned<pcre2_compile_context> context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  // MULTILINE: ^ and $ are those of lines in Oniguruma.
  const uint32_t options =
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | more_options;
  int error = 0;
  size_t offset = 0;
  Owned<pcre2_code> code(
      pcre2_compile(bytes_of(pattern), pattern.size(), options, &error, &offset, context.get()));
  if (code == nullptr) {
    unsigned char message[256] = {};
    pcre2_get_error_message(error, message, sizeof message);
    return invalid_error("it is not valid: ", reinterpret_cast<const char*>(message));
  }
  return code;
}

// Whether each match that is found in text costs steps in proportion to the bytes it moves on.
bool is_linear_on(const pcre2_code* code, std::string_view text) {
  const Owned<pcre2_match_context> context(pcre2_match_context_create(nullptr));
  const Owned<pcre2_match_data> match(pcre2_match_data_create(1, nullptr));
  const auto run = [&](size_t at, size_t n_bytes) {
    pcre2_set_match_limit(context.get(),
                          kProbeStepsMin + kProbeStepsPerByte * static_cast<uint32_t>(n_bytes));
    return pcre2_match(code, bytes_of(text), text.size(), at, kMatchOptions, match.get(),
                       context.get());
  };
  size_t at = 0;
  while (at < text.size()) {
    int rc = run(at, text.size() - at);
    if (rc == PCRE2_ERROR_NOMATCH) return true;
    if (rc < 0) return false;
    const size_t end = pcre2_get_ovector_pointer(match.get())[1];
    // Again with what the match was worth: steps spent further on and in vain do not fit.
    rc = run(at, end - at);
    if (rc < 0) return false;
    at = end;
  }
  return true;
}

// The library counts steps of backtracking only, so the probe is compiled without the optimisations
// that save them.
Status check_linear(std::string_view pattern) {
  FATHOM_TRY(const auto code,
             compile_code(pattern, PCRE2_NO_AUTO_POSSESS | PCRE2_NO_START_OPTIMIZE |
                                       PCRE2_NO_DOTSTAR_ANCHOR));
  for (const std::string_view unit :
       {"a", "A", "aA", " ", "\n", " \n", "1", "!", "a1", "\xcc\x81", "\xe4\xb8\xad", "\xc3\xa9",
        "'s", "\xf0\x9f\x98\x80", "\xe2\x80\x8d", "a ", "_"}) {
    for (const std::string_view end : {"", "x", "\x01"}) {
      std::string text;
      while (text.size() < kProbeBytes) text += unit;
      text += end;
      if (is_linear_on(code.get(), text)) continue;
      return unsupported_error("it needs more than linear time on a run of ", quoted(unit),
                               ", which would let one long input stop the program");
    }
  }
  return {};
}

}  // namespace

Result<Regex> Regex::compile(std::string_view pattern) {
  FATHOM_TRY(const std::string rewritten, regex_for_pcre2(pattern));
  FATHOM_TRY(auto compiled, compile_code(rewritten, 0));
  FATHOM_RETURN_IF_ERROR(check_linear(rewritten));
  // Without JIT (a machine that PCRE2 has none for) the interpreter runs the same code.
  (void)pcre2_jit_compile(compiled.get(), PCRE2_JIT_COMPLETE);
  Regex result;
  result.code_ = std::make_shared<const Code>(compiled.release());
  return result;
}

bool Regex::search(std::string_view text, size_t from, Matcher& matcher, Span* span) const {
  Matcher::State& state = *matcher.state_;
  const auto run = [&](uint32_t options) {
    return pcre2_match(code_->code, bytes_of(text), text.size(), from, kMatchOptions | options,
                       state.match, state.context);
  };
  int rc = run(0);
  // JIT code may need more stack than it is given; the interpreter takes its memory from the heap.
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = run(PCRE2_NO_JIT);
  if (rc < 0) return false;
  const size_t* offsets = pcre2_get_ovector_pointer(state.match);
  *span = {offsets[0], offsets[1]};
  return true;
}

}  // namespace fathom
