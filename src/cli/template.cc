// `fathom template`: messages -> the prompt's text, as the model's chat template or one given
// renders it.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/json_lines.h"
#include "cli/options.h"
#include "cli/output.h"
#include "io/model_files.h"
#include "model/open_model.h"
#include "tokenizer/chat_template.h"

namespace fathom::cli {

namespace {

constexpr int64_t kConfigBytesMax = int64_t{64} << 20;

struct TemplateCommand {
  CommonOptions common;
  std::vector<std::string> files;
  std::string template_file;
};

// What rendering needs of a model's folder.
struct Sources {
  std::string template_jinja;
  std::string tokenizer_config = "{}";
  // Those of the family, where no model says otherwise.
  std::string bos_token = "<｜begin▁of▁sentence｜>";
  std::string eos_token = "<｜end▁of▁sentence｜>";
  std::optional<ChatTemplate> plain, with_tools;
};

// "bos_token" of tokenizer_config.json: a text, or an added token with its "content".
std::string special_token(const Json& config, std::string_view name) {
  const Json* token = config.find(name);
  if (token != nullptr && token->is_object()) token = token->find("content");
  return token != nullptr && token->is_string() ? token->as_string() : std::string();
}

Status read_model(const std::string& path, Sources& sources) {
  FATHOM_TRY(const ModelFiles files, open_model_files(path));
  if (files.exists("tokenizer_config.json")) {
    FATHOM_TRY(const FileBytes bytes, files.open_small("tokenizer_config.json", kConfigBytesMax));
    sources.tokenizer_config = bytes.text();
    auto config = parse_json(sources.tokenizer_config);
    if (!config)
      return invalid_error(files.path_of("tokenizer_config.json"), ": ", config.error().message);
    sources.bos_token = special_token(*config, "bos_token");
    sources.eos_token = special_token(*config, "eos_token");
  }
  if (files.exists("chat_template.jinja")) {
    FATHOM_TRY(const FileBytes bytes, files.open_small("chat_template.jinja", kConfigBytesMax));
    sources.template_jinja = bytes.text();
  }
  return {};
}

Result<Sources> read_sources(const TemplateCommand& command) {
  Sources sources;
  const bool has_own = !command.template_file.empty();
  if (!has_own || !command.common.model.empty() || ModelFiles::has_embedded()) {
    FATHOM_RETURN_IF_ERROR(read_model(command.common.model, sources));
  }
  if (has_own) {
    FATHOM_TRY(const std::string text, read_all(command.template_file, kConfigBytesMax));
    auto parsed = ChatTemplate::parse(text);
    if (!parsed) return invalid_error(command.template_file, ": ", parsed.error().message);
    sources.plain = *parsed;
    sources.with_tools = *parsed;
    return sources;
  }
  FATHOM_TRY(sources.plain,
             choose_chat_template(sources.template_jinja, sources.tokenizer_config, false));
  FATHOM_TRY(sources.with_tools,
             choose_chat_template(sources.template_jinja, sources.tokenizer_config, true));
  return sources;
}

// A template that refuses a conversation has answered; a line that is no request makes the exit
// code 1.
Status run(const TemplateCommand& command) {
  FATHOM_TRY(const Sources sources, read_sources(command));
  FATHOM_TRY(LineReader reader, LineReader::open(command.files));
  int64_t n_bad = 0;
  while (true) {
    FATHOM_TRY(const std::optional<InputLine> line, reader.next());
    if (!line) break;
    auto request = line->json();
    if (request.ok() && !request->is_object()) {
      request = invalid_error(line->where, ": expected an object with messages, got ",
                              request->type_name());
    }
    Json answer = Json::object();
    if (!request.ok()) {
      ++n_bad;
      answer = error_line(request.error().message, std::nullopt);
    } else {
      const Json* tools = request->find("tools");
      const bool has_tools = tools != nullptr && tools->is_array() && !tools->as_array().empty();
      const auto rendered = (has_tools ? sources.with_tools : sources.plain)
                                ->render(*request, sources.bos_token, sources.eos_token);
      if (rendered.ok()) {
        answer.set("text", rendered->text());
      } else {
        answer = error_line(rendered.error().message, std::nullopt);
      }
    }
    FATHOM_RETURN_IF_ERROR(standard_output().write(answer.dump() + "\n"));
  }
  if (n_bad > 0)
    return invalid_error(n_bad, n_bad == 1 ? " line was" : " lines were",
                         " no request: see the output");
  return {};
}

}  // namespace

void add_template(CLI::App& app, Invocation& invocation) {
  auto command = std::make_shared<TemplateCommand>();
  app.description(
      "Reads JSON Lines {\"messages\", \"tools\", \"add_generation_prompt\", ...} and writes "
      "{\"text\"}, the\n"
      "prompt that the chat template makes of them, or {\"error\": {\"message\"}}.");
  app.add_option("FILES", command->files, "JSON Lines; none or -: standard input")
      ->default_str("-")
      ->group("Input");
  app.add_option("--template", command->template_file,
                 "a Jinja file in place of the model's template")
      ->group("Input")
      ->type_name("FILE")
      ->default_str("the model's");
  add_common_options(app, command->common, kModelOption);
  set_example(app, "fathom template --model models/v3 requests.jsonl");
  invocation.run = [command] { return run(*command); };
}

}  // namespace fathom::cli
