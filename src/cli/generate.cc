// `fathom generate`: one prompt to text, streamed; or a file of prompts or requests, run as
// batches, answers in the order of the input.
#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json_lines.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/request_line.h"
#include "cli/sampling_options.h"
#include "engine/prompt.h"
#include "io/files.h"

namespace fathom::cli {

namespace {

constexpr int64_t kPromptBytesMax = int64_t{1} << 30;

struct GenerateCommand {
  CommonOptions common;
  SamplingOptions sampling;
  std::optional<std::string> prompt;
  std::string prompt_file;
  std::string input_file;
  std::string output;
  std::string system;
  bool chat = false;
  bool thinking = false;
  bool control_tokens = false;
  bool force = false;
  int64_t batch = 8;
};

// Where results go: standard output, or a file that gets its name when all is done.
class Results {
 public:
  static Result<Results> open(const GenerateCommand& command) {
    Results results;
    if (!command.output.empty() && command.output != "-") {
      FATHOM_TRY(AtomicFile file, AtomicFile::create(command.output, command.force));
      results.file_.emplace(std::move(file));
    }
    return results;
  }
  Status write(std::string_view text) {
    return file_ ? file_->append(text) : standard_output().write_now(text);
  }
  Status finish() { return file_ ? file_->commit() : Status(); }

 private:
  std::optional<AtomicFile> file_;
};

// Streams the one answer.
class StreamSink final : public EventSink {
 public:
  explicit StreamSink(Results& results) : results_(results) {}
  void on_token(const TokenEvent& event) override {
    if (!event.text.empty() && status_.ok()) {
      status_ = results_.write(event.text);
      ends_with_newline_ = event.text.back() == '\n';
    }
    finish_ = event.finish;
    if (!event.error.empty() && status_.ok()) status_ = Error{ErrorCode::kIo, event.error};
  }
  const Status& status() const { return status_; }
  bool done() const { return finish_ != FinishReason::kNone; }
  FinishReason finish() const { return finish_; }
  bool ends_with_newline() const { return ends_with_newline_; }

 private:
  Results& results_;
  Status status_;
  FinishReason finish_ = FinishReason::kNone;
  bool ends_with_newline_ = false;
};

Result<std::string> prompt_text(const GenerateCommand& command) {
  if (command.prompt && *command.prompt != "-") return *command.prompt;
  return read_all(command.prompt_file.empty() ? "-" : command.prompt_file, kPromptBytesMax);
}

Result<std::vector<int32_t>> prompt_ids(const GenerateCommand& command, const std::string& text,
                                        PromptBuilder& prompts) {
  if (!command.chat) return prompts.from_text(text);
  Json messages = Json::array();
  if (!command.system.empty()) messages.push_back(chat_message("system", command.system));
  messages.push_back(chat_message("user", text));
  return prompts.from_chat(chat_context(std::move(messages), command.thinking));
}

Status run_one(const GenerateCommand& command, LoadedModel& model, const GenerateRequest& base) {
  FATHOM_TRY(const std::string text, prompt_text(command));
  PromptBuilder prompts(model.files, *model.tokenizer, command.control_tokens);
  GenerateRequest request = base;
  FATHOM_TRY(request.prompt, prompt_ids(command, text, prompts));
  FATHOM_TRY(Results results, Results::open(command));
  StreamSink sink(results);
  const auto engine = model.make_engine();
  FATHOM_TRY(const RequestId id, engine->submit(std::move(request), sink));
  const InterruptScope scope;
  while (!sink.done()) {
    if (interrupted() || !sink.status().ok()) engine->cancel(id);
    if (!sink.done()) engine->step();
  }
  if (!sink.status().ok()) return sink.status();
  if (!sink.ends_with_newline()) FATHOM_RETURN_IF_ERROR(results.write("\n"));
  if (sink.finish() == FinishReason::kCancelled) return interrupted_error();
  return results.finish();
}

// One line of a batch: its choices, and what came of them.
class Answer final : public EventSink {
 public:
  Answer(Json id, int64_t n_prompt, bool wants_logprobs, bool wants_top)
      : id_(std::move(id)),
        n_prompt_(n_prompt),
        wants_logprobs_(wants_logprobs),
        wants_top_(wants_top) {}

  void on_token(const TokenEvent& event) override {
    text_ += event.text;
    if (event.token >= 0) {
      ids_.push_back(int64_t{event.token});
      logprobs_.push_back(event.logprob);
      Json top = Json::array();
      for (const TokenLogprob& best : event.top_logprobs) {
        Json entry = Json::object();
        entry.set("id", int64_t{best.token});
        entry.set("logprob", best.logprob);
        top.push_back(std::move(entry));
      }
      top_.push_back(std::move(top));
    }
    finish_ = event.finish;
    error_ = event.error;
  }
  const Json& id() const { return id_; }
  const std::string& error() const { return error_; }  // empty unless the request failed
  bool done() const { return finish_ != FinishReason::kNone; }

  std::string line(bool has_text, std::optional<int64_t> choice) const {
    Json out = Json::object();
    out.set("id", id_);
    if (choice) out.set("index", *choice);
    out.set("text", has_text ? Json(text_) : Json());
    out.set("ids", ids_);
    out.set("finish_reason", finish_reason_name(finish_));
    Json usage = Json::object();
    usage.set("prompt_tokens", n_prompt_);
    usage.set("completion_tokens", static_cast<int64_t>(ids_.as_array().size()));
    out.set("usage", std::move(usage));
    out.set("logprobs", wants_logprobs_ ? logprobs_ : Json());
    if (wants_top_) out.set("top_logprobs", top_);
    return out.dump() + "\n";
  }

 private:
  Json id_;
  int64_t n_prompt_;
  bool wants_logprobs_, wants_top_;
  std::string text_, error_;
  Json ids_ = Json::array(), logprobs_ = Json::array(), top_ = Json::array();
  FinishReason finish_ = FinishReason::kNone;
};

// A line of the input, waiting for its answers or holding what is wrong with it.
struct Pending {
  std::vector<std::unique_ptr<Answer>> choices;
  std::string error_line;
  int64_t line = 0;
  bool done() const {
    return std::all_of(choices.begin(), choices.end(),
                       [](const auto& choice) { return choice->done(); });
  }
};

std::string failed_line(const Json& id, int64_t line, const std::string& message) {
  Json out = Json::object();
  out.set("id", id);
  out.set("error", line_error(message, line));
  return out.dump() + "\n";
}

// Keeps the engine busy: lines are read as places become free, answers leave in the order of the
// lines.
class BatchRun {
 public:
  BatchRun(const GenerateCommand& command, LoadedModel& model, const GenerateRequest& base,
           Results& results)
      : model_(model),
        base_(base),
        results_(results),
        json_lines_(!is_plain_text(command.input_file)),
        engine_(model.make_engine()),
        wait_max_(4 * command.batch) {
    if (model.tokenizer) prompts_.emplace(model.files, *model.tokenizer, command.control_tokens);
  }

  Status run(LineReader& reader) {
    const InterruptScope scope;
    Progress progress("generating", reader.total_bytes().value_or(0), "bytes");
    bool more = true;
    while (more || !pending_.empty()) {
      if (interrupted()) return interrupted_error();
      while (more && static_cast<int64_t>(pending_.size()) < wait_max_) {
        FATHOM_TRY(const std::optional<InputLine> line, reader.next());
        more = line.has_value();
        if (more) take(*line);
      }
      if (!engine_->idle()) engine_->step();
      FATHOM_RETURN_IF_ERROR(write_done(progress));
      progress.update(reader.bytes_read());
    }
    progress.hide();
    if (n_bad_ > 0)
      return invalid_error(n_bad_, n_bad_ == 1 ? " line" : " lines",
                           " could not be answered; the output says why");
    return {};
  }

 private:
  static bool is_plain_text(const std::string& file) {
    return file != "-" && !file.ends_with(".jsonl") && !file.ends_with(".json");
  }

  Result<RequestLine> parse(const InputLine& line) {
    if (json_lines_) {
      FATHOM_TRY(const Json json, line.json());
      last_id_ = json.is_object() && json.find("id") != nullptr ? *json.find("id") : Json();
      return parse_request_line(json, base_, prompts_ ? &*prompts_ : nullptr);
    }
    last_id_ = line.index;
    if (line.too_long) return invalid_error(line.where, ": the line is too long");
    if (!prompts_) return invalid_error("this model has no tokenizer: give a .jsonl file with ids");
    RequestLine request;
    request.id = line.index;
    request.request = base_;
    request.request.prompt = prompts_->from_text(line.text);
    return request;
  }

  void take(const InputLine& line) {
    Pending pending;
    pending.line = line.index;
    submitted_.clear();
    last_id_ = Json();
    Result<RequestLine> parsed = parse(line);
    Status status = parsed.ok() ? submit(*parsed, pending) : Status(parsed.error());
    if (!status.ok()) {
      for (size_t i = 0; i < submitted_.size(); ++i) engine_->cancel(submitted_[i]);
      pending.choices.clear();
      pending.error_line = failed_line(last_id_, line.index, status.error().message);
    }
    pending_.push_back(std::move(pending));
  }

  Status submit(const RequestLine& line, Pending& pending) {
    for (int64_t choice = 0; choice < line.n; ++choice) {
      GenerateRequest request = line.request;
      request.sampling.choice = choice;
      pending.choices.push_back(
          std::make_unique<Answer>(line.id, static_cast<int64_t>(request.prompt.size()),
                                   request.logprobs >= 0, request.logprobs > 0));
      FATHOM_TRY(const RequestId id, engine_->submit(std::move(request), *pending.choices.back()));
      submitted_.push_back(id);
    }
    return {};
  }

  // Of a line with several choices, the first error stands for all.
  static std::string failure_of(const Pending& pending) {
    for (const auto& choice : pending.choices) {
      if (!choice->error().empty()) return failed_line(choice->id(), pending.line, choice->error());
    }
    return pending.error_line;
  }

  Status write_done(Progress& progress) {
    while (!pending_.empty() && pending_.front().done()) {
      const Pending& front = pending_.front();
      progress.hide();
      const std::string failure = failure_of(front);
      if (!failure.empty()) {
        ++n_bad_;
        FATHOM_RETURN_IF_ERROR(results_.write(failure));
      }
      const bool several = front.choices.size() > 1;
      for (size_t i = 0; failure.empty() && i < front.choices.size(); ++i) {
        FATHOM_RETURN_IF_ERROR(results_.write(front.choices[i]->line(
            model_.tokenizer.has_value(),
            several ? std::optional<int64_t>(static_cast<int64_t>(i)) : std::nullopt)));
      }
      pending_.pop_front();
    }
    return {};
  }

  LoadedModel& model_;
  const GenerateRequest& base_;
  Results& results_;
  bool json_lines_;
  std::unique_ptr<Engine> engine_;
  int64_t wait_max_;
  std::optional<PromptBuilder> prompts_;
  std::deque<Pending> pending_;
  std::vector<RequestId> submitted_;
  Json last_id_;
  int64_t n_bad_ = 0;
};

Status check_inputs(const GenerateCommand& c) {
  const int given =
      (c.prompt ? 1 : 0) + (c.prompt_file.empty() ? 0 : 1) + (c.input_file.empty() ? 0 : 1);
  if (given > 1) return usage_error("give one of a prompt, --prompt-file and --input-file");
  if (!c.input_file.empty() && c.chat) {
    return usage_error(
        "--chat takes one prompt; in a .jsonl file give messages in place of prompt");
  }
  if (!c.system.empty() && !c.chat) return usage_error("--system goes with --chat");
  if (c.thinking && !c.chat) return usage_error("--thinking goes with --chat");
  return {};
}

Status run_generate(const GenerateCommand& command) {
  FATHOM_RETURN_IF_ERROR(check_inputs(command));
  const bool batch = !command.input_file.empty();
  std::optional<LineReader> reader;
  if (batch) {
    FATHOM_TRY(LineReader opened, LineReader::open({command.input_file}));
    reader.emplace(std::move(opened));
  }
  LoadModelOptions options = load_options(command.common);
  options.needs_tokenizer = !batch;
  options.max_running = batch ? command.batch : 1;
  FATHOM_TRY(const auto model, load(options));
  FATHOM_TRY(const GenerateRequest base,
             base_request(model->generation, command.sampling, command.common.seed.value_or(0)));
  if (!batch) {
    const Status status = run_one(command, *model, base);
    note_streaming(*model);
    return status;
  }
  FATHOM_TRY(Results results, Results::open(command));
  const Status status = BatchRun(command, *model, base, results).run(*reader);
  note_streaming(*model);
  // Lines that could not be answered say so in the output: it is complete, and is kept.
  if (!status.ok() && status.error().code != ErrorCode::kInvalid) return status;
  FATHOM_RETURN_IF_ERROR(results.finish());
  return status;
}

}  // namespace

void add_generate(CLI::App& app, Invocation& invocation) {
  auto command = std::make_shared<GenerateCommand>();
  add_common_options(app, command->common, kRunOptions | kDraftsOption);
  app.add_option("PROMPT", command->prompt, "the prompt; -: standard input")
      ->default_str("standard input")
      ->group("Input");
  app.add_option("--prompt-file", command->prompt_file, "a file that is the prompt")
      ->default_str("none")
      ->group("Input");
  app.add_option("--input-file", command->input_file,
                 "a prompt a line, or a .jsonl file of requests (-: from standard input)")
      ->default_str("none")
      ->group("Input");
  app.add_flag("--chat", command->chat, "apply the chat template; else the prompt is raw text")
      ->group("Input");
  app.add_option("--system", command->system, "a system prompt, with --chat")
      ->default_str("none")
      ->group("Input");
  app.add_flag("--thinking", command->thinking, "ask the template for reasoning, with --chat")
      ->group("Input");
  app.add_flag("--control-tokens", command->control_tokens,
               "control tokens spelled inside messages count as such; else they are text")
      ->group("Input");
  app.add_option("--output", command->output, "write here")
      ->default_str("standard output")
      ->group("Output");
  app.add_flag("--force", command->force, "replace a file that exists")->group("Output");
  app.add_option("--batch", command->batch, "requests of a file that run at once")
      ->transform(whole_number(1, 1024))
      ->capture_default_str()
      ->group("Running");
  add_sampling_options(app, command->sampling);
  set_example(app, "fathom generate --max-tokens 64 \"Once upon a time\"");
  invocation.run = [command] { return run_generate(*command); };
}

}  // namespace fathom::cli
