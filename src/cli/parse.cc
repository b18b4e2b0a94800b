#include "cli/parse.h"

#include <algorithm>

#include "base/str_cat.h"
#include "base/suggest.h"

namespace fathom::cli {
namespace {

Error unexpected_argument(const CLI::App& app, const std::string& argument) {
  if (argument.size() < 2 || argument[0] != '-') {
    return usage_error("unexpected argument '", argument, "'; see ", app.get_name(), " --help");
  }
  const std::string name = argument.substr(0, argument.find('='));
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& known : option->get_lnames()) names.push_back("--" + known);
    for (const std::string& known : option->get_snames()) names.push_back("-" + known);
  }
  return usage_error("there is no option '", name, "'; did you mean '", nearest_name(name, names),
                     "'? See ", app.get_name(), " --help");
}

// Of those that CLI11 left. An unknown option makes its value an unexpected argument too: names the
// option.
Error unexpected_arguments(const CLI::App& app) {
  const std::vector<std::string> rest = app.remaining(true);
  const auto option = std::find_if(rest.begin(), rest.end(), [](const std::string& text) {
    return text.size() > 1 && text[0] == '-';
  });
  return unexpected_argument(app, option != rest.end() ? *option : rest.front());
}

// CLI11 reads `--name= value` as --name with the next argument; to us it is an empty value.
std::vector<std::string> split_empty_values(const CLI::App& app,
                                            const std::vector<std::string>& arguments) {
  std::vector<std::string> out;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {  // the rest are no options
      out.insert(out.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i), arguments.end());
      break;
    }
    if (argument.size() > 3 && argument.starts_with("--") &&
        argument.find('=') == argument.size() - 1) {
      const std::string name = argument.substr(0, argument.size() - 1);
      const CLI::Option* const option = app.get_option_no_throw(name);
      if (option != nullptr && option->get_items_expected_max() > 0) {
        out.push_back(name);
        out.emplace_back();
        continue;
      }
    }
    out.push_back(argument);
  }
  return out;
}

std::string sentence(const CLI::ParseError& error) {
  std::string text = error.what();
  while (!text.empty() && (text.back() == '\n' || text.back() == '.' || text.back() == ' '))
    text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

Result<ParseOutcome> parse_arguments(CLI::App& app, std::vector<std::string> arguments) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_items_expected_max() == 0) option->disable_flag_override();  // no --quiet=7
  }
  arguments = split_empty_values(app, arguments);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    return ParseOutcome::kHelp;
  } catch (const CLI::ExtrasError& error) {
    if (app.remaining(true).empty()) {
      return usage_error(sentence(error), "; see ", app.get_name(), " --help");
    }
    return unexpected_arguments(app);
  } catch (const CLI::RequiredError& error) {
    // Looked at first by CLI11; but a misspelt option may be what is missing.
    if (app.remaining(true).empty()) {
      return usage_error(sentence(error), "; see ", app.get_name(), " --help");
    }
    return unexpected_arguments(app);
  } catch (const CLI::ConversionError& error) {
    return usage_error("a value is not of the kind its option takes: ", sentence(error), "; see ",
                       app.get_name(), " --help");
  } catch (const CLI::ArgumentMismatch& error) {
    // CLI11: "quiet was given a disallowed flag override".
    const std::string text = sentence(error);
    const size_t end = text.find(" was given a disallowed flag override");
    if (end == std::string::npos) return usage_error(text, "; see ", app.get_name(), " --help");
    return usage_error("--", text.substr(0, end), " takes no value; see ", app.get_name(),
                       " --help");
  } catch (const CLI::ParseError& error) {
    return usage_error(sentence(error), "; see ", app.get_name(), " --help");
  }
  return ParseOutcome::kParsed;
}

}  // namespace fathom::cli
