// Completion scripts for bash, zsh and fish: commands, options, and the values of options that have
// a fixed choice. Everything else completes to files.
#include <algorithm>

#include "base/str_cat.h"
#include "cli/help.h"
#include "cli/man_page.h"

namespace fathom::cli {
namespace {

// Calls visit(option) for each named option of a command.
template <typename Visit>
void for_each_option(const CLI::App& app, const Visit& visit) {
  for (const OptionGroup& group : option_groups(app)) {
    for (const CLI::Option* option : group.options) {
      if (!option->get_positional()) visit(*option);
    }
  }
}

// "auto|ref|avx2" -> "auto ref avx2"; empty if the value is no fixed choice.
std::string choices(const CLI::Option& option) {
  std::string metavar = option_metavar(option);
  if (metavar.find('|') == std::string::npos) return {};
  std::replace(metavar.begin(), metavar.end(), '|', ' ');
  return metavar;
}

// Inside '...' of a shell.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

// Where a description stands inside [...] of zsh's _arguments.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string bash_script(std::span<const Command> commands) {
  std::string names = "help --help --version";
  std::string values;   // case lines of options with a fixed choice
  std::string options;  // case lines of the options of each command
  for (const Command& command : commands) {
    Invocation invocation;
    const auto app = make_app(command, invocation);
    str_append(names, " ", command.name);
    std::string own;
    for_each_option(*app, [&](const CLI::Option& option) {
      for (const std::string& name : option.get_lnames()) {
        str_append(own, own.empty() ? "--" : " --", name);
        if (!choices(option).empty()) {
          str_append(values, "    '", command.name, " --", name, "') words='", choices(option),
                     "' ;;\n");
        }
      }
    });
    str_append(options, "      ", command.name, ") words='", own, "' ;;\n");
  }
  return str_cat(
      "# bash completion for fathom\n_fathom() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ] || { [ \"$COMP_CWORD\" -eq 2 ] && [ \"$before\" = help ]; }; "
      "then\n"
      "    COMPREPLY=($(compgen -W '",
      names,
      "' -- \"$current\"))\n    return\n  fi\n"
      "  case \"${COMP_WORDS[1]} $before\" in\n",
      values,
      "  esac\n"
      "  if [ -z \"$words\" ] && [[ $current == -* ]]; then\n    case \"${COMP_WORDS[1]}\" in\n",
      options,
      "    esac\n  fi\n"
      "  if [ -n \"$words\" ]; then COMPREPLY=($(compgen -W \"$words\" -- \"$current\")); fi\n}\n"
      "complete -o default -F _fathom fathom\n");
}

std::string zsh_script(std::span<const Command> commands) {
  std::string names;
  std::string cases;
  for (const Command& command : commands) {
    Invocation invocation;
    const auto app = make_app(command, invocation);
    str_append(names, "    ", shell_quoted(str_cat(command.name, ":", command.summary)), "\n");
    str_append(cases, "    ", command.name, ")\n      _arguments -s");
    for_each_option(*app, [&](const CLI::Option& option) {
      for (const std::string& name : option.get_lnames()) {
        std::string entry = str_cat("--", name, "[", zsh_text(option.get_description()), "]");
        if (option_takes_value(option)) {
          entry += choices(option).empty()
                       ? str_cat(":", zsh_text(option_metavar(option)), ":_files")
                       : str_cat(":", name, ":(", choices(option), ")");
        }
        str_append(cases, " \\\n        ", shell_quoted(entry));
      }
    });
    cases += " \\\n        '*:file:_files'\n      ;;\n";
  }
  return str_cat("#compdef fathom\n_fathom() {\n  local -a commands\n  commands=(\n", names,
                 "    'help:lists the commands'\n  )\n"
                 "  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
                 "  local command=$words[2]\n  words=(\"${(@)words[2,-1]}\")\n  (( CURRENT-- ))\n"
                 "  case $command in\n",
                 cases, "  esac\n}\n_fathom \"$@\"\n");
}

std::string fish_script(std::span<const Command> commands) {
  std::string out =
      "# fish completion for fathom\n"
      "complete -c fathom -n __fish_use_subcommand -f -a help -d 'lists the commands'\n"
      "complete -c fathom -n __fish_use_subcommand -l version -d 'version, commit, compiler, "
      "instruction sets'\n";
  for (const Command& command : commands) {
    Invocation invocation;
    const auto app = make_app(command, invocation);
    str_append(out, "complete -c fathom -n __fish_use_subcommand -f -a ", command.name, " -d ",
               shell_quoted(command.summary), "\n");
    for_each_option(*app, [&](const CLI::Option& option) {
      for (const std::string& name : option.get_lnames()) {
        str_append(out, "complete -c fathom -n '__fish_seen_subcommand_from ", command.name,
                   "' -l ", name);
        if (!choices(option).empty()) {
          str_append(out, " -x -a ", shell_quoted(choices(option)));
        } else if (option_takes_value(option)) {
          out += " -r";
        }
        str_append(out, " -d ", shell_quoted(option.get_description()), "\n");
      }
    });
  }
  return out;
}

}  // namespace

Result<std::string> completion_script(std::span<const Command> commands, std::string_view shell) {
  if (shell == "bash") return bash_script(commands);
  if (shell == "zsh") return zsh_script(commands);
  if (shell == "fish") return fish_script(commands);
  return usage_error("there is no completion for '", shell, "'; give bash, zsh or fish");
}

}  // namespace fathom::cli
