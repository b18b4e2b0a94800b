#include "cli/man_page.h"

#include "base/str_cat.h"
#include "cli/help.h"

namespace fathom::cli {
namespace {

// Text as troff takes it: hyphens that can be copied, no accidental requests.
std::string troff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) {
      out += "\\&";
      out += c;
    } else {
      out += c;
    }
  }
  return out;
}

void append_options(std::string& out, const CLI::App& app) {
  for (const OptionGroup& group : option_groups(app)) {
    for (const CLI::Option* option : group.options) {
      std::string text = option->get_description();
      const std::string shown_default = option_default(*option);
      if (!shown_default.empty()) text += " " + shown_default;
      str_append(out, ".TP\n.B ", troff(option_names(*option)), "\n", troff(text), "\n");
    }
  }
}

void append_command(std::string& out, const Command& command) {
  Invocation invocation;
  const auto app = make_app(command, invocation);
  str_append(out, ".SS ", command.name, "\n", troff(app->get_description()), ".\n.PP\n.B ",
             troff(usage_line(*app)), "\n");
  append_options(out, *app);
  if (!app->get_footer().empty()) {
    str_append(out, ".PP\nExample:\n.PP\n.nf\n.RS\n", troff(app->get_footer()), "\n.RE\n.fi\n");
  }
}

}  // namespace

std::string man_page(std::span<const Command> commands, std::string_view version) {
  std::string out = str_cat(".TH FATHOM 1 \"\" \"fathom ", version, "\" \"User Commands\"\n");
  out +=
      ".SH NAME\nfathom \\- run, chat with, score and convert DeepSeek\\-V3 models\n"
      ".SH SYNOPSIS\n.B fathom\n.I COMMAND\n.RI [ options ]\n.br\n.B fathom help\n.RI [ COMMAND "
      "]\n.br\n"
      ".B fathom \\-\\-version\n"
      ".SH DESCRIPTION\nFathom runs language models of the DeepSeek\\-V3 family on the processor "
      "of this machine. "
      "It reads their weights as they are published, and has a small model of its own built in, "
      "which it takes when "
      "no other is named.\n.PP\n"
      "Results go to standard output, everything else to standard error. Commands that read JSON "
      "Lines take files as "
      "arguments; none, or \\-, is standard input. Sizes take KB, MB, GB, KiB, MiB and GiB. Output "
      "files are written "
      "beside their name and renamed when they are complete; existing ones are not overwritten "
      "without \\-\\-force.\n"
      ".SH COMMANDS\n";
  for (const Command& command : commands) append_command(out, command);
  out +=
      ".SH EXIT STATUS\n.TP\n.B 0\nDone.\n.TP\n.B 1\nThe input, a file or the machine is at fault; "
      "one sentence on "
      "standard error says which, where, and what to do.\n.TP\n.B 2\nWrong usage.\n.TP\n.B "
      "130\nInterrupted.\n"
      ".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nIf set and not empty, no colour.\n"
      ".TP\n.B FATHOM_ISA\nThe instruction set where \\-\\-isa is auto: ref, avx2,\navx512, "
      "avx512bf16, amx or "
      "neon.\n";
  return out;
}

}  // namespace fathom::cli
