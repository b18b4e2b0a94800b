// `fathom score`: log-probabilities, perplexity and bits per byte of given text or ids, and what
// lies behind them (logits, hidden states, the router's choices) as safetensors.
#include <cmath>
#include <memory>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json_lines.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/score_tensors.h"
#include "cli/token_ids.h"
#include "engine/prompt.h"
#include "engine/scorer.h"

namespace fathom::cli {

namespace {

constexpr int64_t kTextBytesMax = int64_t{4} << 30;

struct ScoreCommand {
  CommonOptions common;
  std::vector<std::string> files;
  std::string logits;
  std::string trace;
  int64_t chunk = 512;
  bool summary = false;
  bool json = false;
  bool force = false;
};

struct Totals {
  int64_t n_lines = 0;
  int64_t n_tokens = 0;
  int64_t n_bytes = 0;
  bool bytes_known = true;
  double nll = 0;

  void add(const ScoreItem& item, const Score& score) {
    ++n_lines;
    n_tokens += static_cast<int64_t>(item.ids.size()) - 1;
    nll += score.nll;
    bytes_known = bytes_known && item.n_bytes.has_value();
    n_bytes += item.n_bytes.value_or(0);
  }
  Json json() const {
    Json out = Json::object();
    out.set("n_lines", n_lines);
    out.set("n_tokens", n_tokens);
    out.set("n_bytes", bytes_known ? Json(n_bytes) : Json());
    out.set("nll", nll);
    out.set("perplexity",
            n_tokens > 0 ? Json(std::exp(nll / static_cast<double>(n_tokens))) : Json());
    out.set("bits_per_byte", bytes_known && n_bytes > 0
                                 ? Json(nll / std::numbers::ln2 / static_cast<double>(n_bytes))
                                 : Json());
    return out;
  }
};

Status read_item(const Json& json, const LoadedModel& model, ScoreItem& item) {
  if (!json.is_object())
    return invalid_error("expected an object with text or ids, got ", json.type_name());
  for (const auto& [key, value] : json.as_object()) {
    if (key != "text" && key != "ids" && key != "id")
      return invalid_error("unknown field '", key, "'; score takes text or ids");
  }
  const Json* text = json.find("text");
  const Json* ids = json.find("ids");
  if ((text == nullptr) == (ids == nullptr)) return invalid_error("give either text or ids");
  if (ids != nullptr) {
    FATHOM_TRY(item.ids, read_token_ids(*ids, "ids"));
    return {};
  }
  if (!text->is_string())
    return invalid_error("text is ", text->type_name(), ", expected a string");
  if (!model.tokenizer)
    return invalid_error(model.files.describe(), " has no tokenizer: give ids in place of text");
  item.ids = PromptBuilder(model.files, *model.tokenizer).from_text(text->as_string());
  item.n_bytes = static_cast<int64_t>(text->as_string().size());
  return {};
}

Json item_json(const ScoreItem& item, const Score& score) {
  Json out = Json::object();
  Json ids = Json::array(), logprobs = Json::array();
  for (size_t i = 0; i < item.ids.size(); ++i) {
    ids.push_back(int64_t{item.ids[i]});
    logprobs.push_back(i == 0 ? Json() : Json(score.logprobs[i]));
  }
  out.set("ids", std::move(ids));
  out.set("logprobs", std::move(logprobs));
  out.set("nll", score.nll);
  out.set("n_tokens", static_cast<int64_t>(item.ids.size()) - 1);
  out.set("n_bytes", item.n_bytes ? Json(*item.n_bytes) : Json());
  return out;
}

class ScoreRun {
 public:
  ScoreRun(const ScoreCommand& command, LoadedModel& model)
      : command_(command),
        model_(model),
        scorer_(*model.transformer, *model.kv,
                {.attention = model.attention,
                 .context = model.context,
                 .chunk = std::min(command.chunk, model.prefill_rows),
                 .keep_logits = !command.logits.empty(),
                 .keep_trace = !command.trace.empty()}) {}

  Status run() {
    const InterruptScope scope;
    if (!plain_text_files().empty()) return run_plain_text();
    FATHOM_TRY(LineReader reader, LineReader::open(command_.files));
    const bool keeps = !command_.logits.empty() || !command_.trace.empty();
    Progress progress("scoring", reader.total_bytes().value_or(0), "bytes");
    std::vector<ScoreItem> items;
    while (true) {
      FATHOM_TRY(const std::optional<InputLine> line, reader.next());
      if (!line) break;
      ScoreItem item = read_line(*line);
      if (keeps) {
        items.push_back(std::move(item));
      } else {
        FATHOM_RETURN_IF_ERROR(score_item(item));
        progress.update(reader.bytes_read());
      }
    }
    if (keeps) FATHOM_RETURN_IF_ERROR(score_kept(items, progress));
    progress.hide();
    return finish();
  }

 private:
  std::vector<std::string> plain_text_files() const {
    std::vector<std::string> plain;
    for (const auto& file : command_.files) {
      if (file != "-" && !file.ends_with(".jsonl") && !file.ends_with(".json"))
        plain.push_back(file);
    }
    return plain;
  }

  Status run_plain_text() {
    if (plain_text_files().size() != command_.files.size()) {
      return usage_error(
          "plain text and JSON Lines (.jsonl, -) cannot be scored in one call; give one kind of "
          "file");
    }
    if (!command_.logits.empty() || !command_.trace.empty()) {
      return usage_error("--logits and --trace take JSON Lines; a plain text is scored in windows");
    }
    if (!model_.tokenizer)
      return invalid_error(model_.files.describe(), " has no tokenizer: give ids in place of text");
    for (const auto& file : command_.files) {
      FATHOM_TRY(const std::string text, read_text(file, kTextBytesMax));
      ScoreItem item;
      item.ids = PromptBuilder(model_.files, *model_.tokenizer).from_text(text);
      item.n_bytes = static_cast<int64_t>(text.size());
      if (item.ids.size() < 2)
        return invalid_error(file, " holds fewer than two tokens; there is nothing to score");
      const Result<Score> score = scorer_.score(item.ids, [] { return interrupted(); });
      if (!score.ok()) return score.error();
      totals_.add(item, *score);
    }
    const Json json = totals_.json();
    if (command_.json || command_.summary) return standard_output().write(json.dump() + "\n");
    return standard_output().write(str_cat("perplexity      ", json.find("perplexity")->dump(),
                                           "\nbits per byte   ", json.find("bits_per_byte")->dump(),
                                           "\ntokens          ", totals_.n_tokens,
                                           "\nbytes           ", totals_.n_bytes, "\n"));
  }

  ScoreItem read_line(const InputLine& line) {
    ScoreItem item;
    item.line = line.index;
    const Result<Json> json = line.json();
    const Status status = json.ok() ? read_item(*json, model_, item) : Status(json.error());
    if (!status.ok())
      item.error =
          json.ok() ? str_cat(line.where, ": ", status.error().message) : status.error().message;
    if (item.error.empty() && item.ids.empty())
      item.error = str_cat(line.where, ": there is nothing to score: no tokens");
    return item;
  }

  // Everything is read before anything is scored: the files' headers name all tensors.
  Status score_kept(std::vector<ScoreItem>& items, Progress& progress) {
    for (ScoreItem& item : items) {
      if (item.error.empty()) item.error = check_kept(item);
    }
    if (!command_.logits.empty()) {
      FATHOM_TRY(logits_, ScoreTensors::logits(command_.logits, command_.force, model_, items));
    }
    if (!command_.trace.empty()) {
      FATHOM_TRY(trace_, ScoreTensors::trace(command_.trace, command_.force, model_, items));
    }
    for (const ScoreItem& item : items) {
      FATHOM_RETURN_IF_ERROR(score_item(item));
      progress.update(item.line);
    }
    if (logits_) FATHOM_RETURN_IF_ERROR(logits_->finish());
    if (trace_) FATHOM_RETURN_IF_ERROR(trace_->finish());
    return {};
  }

  std::string check_kept(const ScoreItem& item) const {
    if (static_cast<int64_t>(item.ids.size()) > model_.context) {
      return str_cat("line ", item.line, " has ", item.ids.size(), " tokens, the context holds ",
                     model_.context,
                     ": logits and traces are kept for sequences within the context only");
    }
    for (const int32_t id : item.ids) {
      if (id < 0 || id >= model_.config.vocab_size) {
        return str_cat("line ", item.line, ": id ", id, " is not in the vocabulary of ",
                       model_.config.vocab_size);
      }
    }
    return {};
  }

  Status score_item(const ScoreItem& item) {
    if (!item.error.empty()) return report(item.line, item.error);
    Result<Score> score = scorer_.score(item.ids, [] { return interrupted(); });
    if (!score.ok()) {
      if (score.error().code == ErrorCode::kInterrupted) return interrupted_error();
      return report(item.line, score.error().message);
    }
    if (logits_) FATHOM_RETURN_IF_ERROR(logits_->add_logits(*score));
    if (trace_) FATHOM_RETURN_IF_ERROR(trace_->add_trace(*score));
    totals_.add(item, *score);
    if (command_.summary) return {};
    return standard_output().write(item_json(item, *score).dump() + "\n");
  }

  Status report(int64_t line, const std::string& message) {
    ++n_bad_;
    if (command_.summary) {
      print_error(message);
      return {};
    }
    return standard_output().write(error_line(message, line).dump() + "\n");
  }

  Status finish() {
    if (command_.summary)
      FATHOM_RETURN_IF_ERROR(standard_output().write(totals_.json().dump() + "\n"));
    if (n_bad_ > 0)
      return invalid_error(n_bad_, n_bad_ == 1 ? " line" : " lines",
                           " could not be scored; the output says why");
    return {};
  }

  const ScoreCommand& command_;
  LoadedModel& model_;
  Scorer scorer_;
  std::unique_ptr<ScoreTensors> logits_, trace_;
  Totals totals_;
  int64_t n_bad_ = 0;
};

Status run_score(const ScoreCommand& command) {
  LoadModelOptions options = load_options(command.common);
  options.needs_tokenizer = false;
  options.prefill_rows = command.chunk;
  FATHOM_TRY(const auto model, load(options));
  const Status status = ScoreRun(command, *model).run();
  note_streaming(*model);
  return status;
}

}  // namespace

void add_score(CLI::App& app, Invocation& invocation) {
  auto command = std::make_shared<ScoreCommand>();
  add_common_options(app, command->common,
                     kModelOption | kComputeOptions | kCacheOptions | kMemoryOption);
  app.add_option("FILES", command->files,
                 "JSON Lines with text or ids; one plain text or several (any other ending than "
                 ".jsonl); none or -: JSON Lines on standard input")
      ->default_str("-")
      ->group("Input");
  app.add_option("--chunk", command->chunk, "positions of a prompt in one pass")
      ->transform(whole_number(1, 65536))
      ->capture_default_str()
      ->group("Scoring");
  app.add_flag("--summary", command->summary, "one line for all, in place of one for each")
      ->group("Output");
  app.add_flag("--json", command->json, "plain text: the result as a JSON document")
      ->group("Output");
  app.add_option("--logits", command->logits, "keep the logits in this safetensors file")
      ->default_str("not kept")
      ->group("Output");
  app.add_option("--trace", command->trace,
                 "keep hidden states and the router's choices in this safetensors file")
      ->default_str("not kept")
      ->group("Output");
  app.add_flag("--force", command->force, "replace files that exist")->group("Output");
  set_example(app, "fathom score --summary questions.jsonl");
  invocation.run = [command] { return run_score(*command); };
}

}  // namespace fathom::cli
