#include "cli/help.h"

#include <algorithm>

#include "base/str_cat.h"

namespace fathom::cli {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kColumn = 28;  // where descriptions begin
constexpr const char* kLastGroup = "General";

// "  name      text", the text wrapped and indented; a long name gets a line of its own.
void append_entry(std::string& out, const std::string& name, std::string_view text, size_t column) {
  std::string line = "  " + name;
  if (line.size() + 2 > column) {
    out += line + "\n";
    line.clear();
  }
  line.resize(std::max(line.size(), column), ' ');
  while (!text.empty()) {
    // "[default: X" stays together.
    constexpr std::string_view kDefault = "[default: ";
    const size_t blank = text.find(' ', text.starts_with(kDefault) ? kDefault.size() : 0);
    const std::string_view word = text.substr(0, blank);
    if (line.size() > column && line.size() + 1 + word.size() > kWidth) {
      out += line + "\n";
      line.assign(column, ' ');
    }
    if (line.size() > column) line += ' ';
    line += word;
    if (blank == std::string_view::npos) break;
    text.remove_prefix(blank + 1);
  }
  out += line + "\n";
}

}  // namespace

std::unique_ptr<CLI::App> make_app(const Command& command, Invocation& invocation) {
  std::string summary = command.summary;
  auto app = std::make_unique<CLI::App>(summary, str_cat("fathom ", command.name));
  app->set_help_flag();
  app->option_defaults()->always_capture_default();
  command.add(*app, invocation);
  app->set_help_flag("-h,--help", "Show this help")->group(kLastGroup);
  return app;
}

std::string command_list(std::span<const Command> commands) {
  std::string out =
      "fathom runs, chats with, scores and converts DeepSeek-V3 models on this machine's "
      "processor.\n\n"
      "usage: fathom COMMAND [options]\n";
  std::string group;
  for (const Command& command : commands) {
    if (group != command.group) out += str_cat("\n", command.group, "\n");
    group = command.group;
    append_entry(out, command.name, command.summary, 14);
  }
  out +=
      "\nfathom COMMAND --help     the options of a command, with an example\n"
      "fathom --version          version, commit, compiler, instruction sets of this machine\n";
  return out;
}

bool option_takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

std::string option_metavar(const CLI::Option& option) {
  if (!option_takes_value(option)) return {};
  const std::string type = option.get_type_name();
  return type.substr(0, type.find(':'));  // after it CLI11 lists its validators
}

std::string option_names(const CLI::Option& option) {
  if (option.get_positional()) {
    const std::string name = option.get_name(true);
    const bool several = option.get_items_expected_max() > 1;
    return several ? name + "..." : name;
  }
  std::string names;
  for (const std::string& name : option.get_snames()) names += (names.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames())
    names += (names.empty() ? "--" : ", --") + name;
  const std::string metavar = option_metavar(option);
  return metavar.empty() ? names : names + " " + metavar;
}

std::string option_default(const CLI::Option& option) {
  if (option.get_required()) return "[required]";
  if (!option_takes_value(option) || option.get_default_str().empty()) return {};
  return str_cat("[default: ", option.get_default_str(), "]");
}

std::vector<OptionGroup> option_groups(const CLI::App& app) {
  std::vector<OptionGroup> groups;
  const auto group_named = [&](const std::string& name) -> OptionGroup& {
    for (OptionGroup& group : groups) {
      if (group.name == name) return group;
    }
    return groups.emplace_back(OptionGroup{name, {}});
  };
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;  // CLI11's way to hide one
    group_named(option->get_positional() ? "Arguments" : option->get_group())
        .options.push_back(option);
  }
  const auto rank = [](const OptionGroup& group) {
    return group.name == "Arguments" ? 0 : group.name == kLastGroup ? 2 : 1;
  };
  std::stable_sort(groups.begin(), groups.end(),
                   [&](const OptionGroup& a, const OptionGroup& b) { return rank(a) < rank(b); });
  return groups;
}

std::string usage_line(const CLI::App& app) {
  std::string out =
      str_cat(app.get_name(), app.get_subcommands([](const CLI::App*) { return true; }).empty()
                                  ? " [options]"
                                  : " COMMAND [options]");
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) continue;
    out +=
        option->get_required() ? " " + option_names(*option) : " [" + option_names(*option) + "]";
  }
  return out;
}

std::string command_help(const CLI::App& app) {
  std::string out = str_cat("usage: ", usage_line(app), "\n\n", app.get_description(), "\n");
  for (const OptionGroup& group : option_groups(app)) {
    str_append(out, "\n", group.name, "\n");
    for (const CLI::Option* option : group.options) {
      std::string text = option->get_description();
      const std::string shown_default = option_default(*option);
      if (!shown_default.empty()) text += " " + shown_default;
      append_entry(out, option_names(*option), text, kColumn);
    }
  }
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    append_entry(out, command->get_name(), command->get_description(), kColumn);
  }
  str_append(out, "\nAn option without a value is off unless given.\n");
  if (!app.get_footer().empty()) str_append(out, "\nExample:\n  ", app.get_footer(), "\n");
  return out;
}

}  // namespace fathom::cli
