#include "cli/perplexity.h"

#include <algorithm>
#include <cmath>

#include "cli/interrupt.h"
#include "cli/json_lines.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/token_ids.h"
#include "engine/prompt.h"
#include "engine/scorer.h"
#include "io/json.h"
#include "io/printable.h"
#include "tokenizer/load_tokenizer.h"

namespace fathom::cli {

namespace {

constexpr int64_t kTextBytesMax = int64_t{4} << 30;

Error nothing_to_score(const std::string& path) {
  return invalid_error(printable(path), " holds no two tokens; there is nothing to score");
}

class Measurement {
 public:
  Measurement(LoadedModel& model, int64_t tokens_max, const std::string& label)
      : model_(model),
        tokens_max_(tokens_max),
        scorer_(
            *model.transformer, *model.kv,
            {.attention = model.attention, .context = model.context, .chunk = model.prefill_rows}),
        progress_(label, tokens_max, "tokens") {}

  bool full() const { return n_ >= tokens_max_; }

  Status add_text(const std::string& text) {
    if (!model_.tokenizer)
      return invalid_error(model_.files.describe(), " has no tokenizer: give ids in place of text");
    return add(PromptBuilder(model_.files, *model_.tokenizer).from_text(text));
  }

  Status add(std::vector<int32_t> ids) {
    // The first token of a text has nothing before it.
    const int64_t left = tokens_max_ - n_ + 1;
    if (static_cast<int64_t>(ids.size()) > left) ids.resize(static_cast<size_t>(left));
    if (ids.size() < 2) return {};
    FATHOM_TRY(const Score score, scorer_.score(ids, [] { return interrupted(); }));
    nll_ += score.nll;
    n_ += static_cast<int64_t>(ids.size()) - 1;
    progress_.update(n_);
    return {};
  }

  Result<Perplexity> result(const std::string& path) const {
    if (n_ == 0) return nothing_to_score(path);
    return Perplexity{std::exp(nll_ / static_cast<double>(n_)), n_};
  }

 private:
  LoadedModel& model_;
  const int64_t tokens_max_;
  Scorer scorer_;
  Progress progress_;
  double nll_ = 0;
  int64_t n_ = 0;
};

Result<PerplexityText::Item> read_line(const InputLine& line) {
  FATHOM_TRY(const Json json, line.json());
  const Json* text = json.find("text");
  const Json* ids = json.find("ids");
  if (text != nullptr && text->is_string()) return PerplexityText::Item{text->as_string(), {}};
  if (ids == nullptr)
    return invalid_error(line.where, ": expected an object with \"text\" or \"ids\"");
  FATHOM_TRY(std::vector<int32_t> tokens, read_token_ids(*ids, line.where + ": ids"));
  return PerplexityText::Item{{}, std::move(tokens)};
}

}  // namespace

Result<PerplexityText> read_perplexity_text(const std::string& path, int64_t tokens_max,
                                            const ModelFiles& files) {
  PerplexityText out{path, {}, tokens_max};
  if (path.ends_with(".jsonl")) {
    FATHOM_TRY(LineReader reader, LineReader::open({path}));
    for (int64_t n = 0; n < tokens_max;) {
      FATHOM_TRY(const std::optional<InputLine> line, reader.next());
      if (!line) break;
      FATHOM_TRY(PerplexityText::Item item, read_line(*line));
      n += std::max<int64_t>(static_cast<int64_t>(item.ids.size()) - 1, 0);
      out.items.push_back(std::move(item));
    }
  } else {
    FATHOM_TRY(std::string whole, read_text(path, kTextBytesMax));
    out.items.push_back({std::move(whole), {}});
  }
  bool something = false;
  for (const PerplexityText::Item& item : out.items) {
    something |= !item.text.empty() || item.ids.size() > 1;
    if (!item.text.empty() && !has_tokenizer(files))
      return invalid_error(files.describe(), " has no tokenizer: give ids in place of text");
  }
  if (!something) return nothing_to_score(path);
  return out;
}

Result<Perplexity> measure_perplexity(const std::string& model_path, const PerplexityText& text,
                                      const CommonOptions& common, const std::string& label) {
  const InterruptScope scope;
  CommonOptions of_model = common;
  of_model.model = model_path;
  LoadModelOptions options = load_options(of_model);
  options.needs_tokenizer = false;
  FATHOM_TRY(const auto model, load(options));
  Measurement measurement(*model, text.tokens_max, label);
  for (const PerplexityText::Item& item : text.items) {
    if (measurement.full()) break;
    FATHOM_RETURN_IF_ERROR(item.text.empty() ? measurement.add(item.ids)
                                             : measurement.add_text(item.text));
  }
  return measurement.result(text.path);
}

}  // namespace fathom::cli
