#include "cli/quantize.h"

#include <array>
#include <cstdio>
#include <utility>

#include "cli/inspect_report.h"
#include "cli/output.h"
#include "io/files.h"
#include "io/json.h"
#include "io/printable.h"
#include "model/convert_cast.h"
#include "model/convert_packed.h"
#include "model/convert_shards.h"
#include "model/quantization_report.h"

namespace fathom::cli {

namespace {

constexpr int64_t kPerplexityTokens = 20000;
constexpr int64_t kReportBytesMax = int64_t{256} << 20;

// "int4,mix" -> {"int4", true}; no format: not one of them.
std::pair<std::string_view, bool> parse_format(std::string_view text) {
  constexpr std::string_view kMix = ",mix";
  const bool mix = text.ends_with(kMix);
  const std::string_view format = mix ? text.substr(0, text.size() - kMix.size()) : text;
  for (const std::string_view known : {"int8", "int4", "fp8", "bf16"}) {
    if (format == known) return {known, mix};
  }
  return {"", mix};
}

std::string fixed(double value, int digits) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

std::string cell(const std::string& text, size_t width, bool right) {
  const std::string pad(text.size() < width ? width - text.size() : 0, ' ');
  return right ? pad + text : text + pad;
}

std::string table_row(const std::array<std::string, 7>& cells) {
  constexpr std::array<size_t, 7> kWidths = {14, 19, 8, 10, 10, 8, 9};
  std::string out;
  for (size_t i = 0; i < cells.size(); ++i)
    str_append(out, " ", cell(cells[i], kWidths[i], i >= 2));
  return out.substr(0, out.find_last_not_of(' ') + 1) + "\n";
}

std::string kind_row(const Json& kind) {
  const double bits = static_cast<double>(kind.find("bytes")->as_int()) * 8 /
                      static_cast<double>(kind.find("n_weights")->as_int());
  return table_row({kind.find("kind")->as_string(),
                    str_cat(kind.find("from")->as_string(), " -> ", kind.find("to")->as_string()),
                    grouped(kind.find("n_tensors")->as_int()),
                    human_bytes(kind.find("bytes_before")->as_int()),
                    human_bytes(kind.find("bytes")->as_int()), fixed(bits, 2),
                    fixed(100 * kind.find("relative_rms_error")->as_double(), 3) + " %"});
}

std::string report_table(const Json& report) {
  std::string out = table_row({"", "", "tensors", "before", "after", "bits", "error"});
  for (const Json& kind : report.find("kinds")->as_array()) out += kind_row(kind);
  const Json& kept = *report.find("kept");
  out += table_row({"kept", "", grouped(kept.find("n_tensors")->as_int()), "",
                    human_bytes(kept.find("bytes")->as_int()), "", ""});
  const Json& total = *report.find("total");
  out += table_row({"total", "", "", human_bytes(total.find("bytes_before")->as_int()),
                    human_bytes(total.find("bytes")->as_int()), "", ""});
  if (const Json* perplexity = report.find("perplexity")) {
    str_append(out, " perplexity ", fixed(perplexity->find("before")->as_double(), 4), " -> ",
               fixed(perplexity->find("after")->as_double(), 4), ", ",
               fixed(perplexity->find("rise_percent")->as_double(), 3), " %, of ",
               grouped(perplexity->find("n_tokens")->as_int()), " tokens\n");
  }
  return out;
}

Result<Json> compare_perplexities(const PerplexityText& text, const ConversionCommand& command) {
  FATHOM_TRY(const Perplexity before,
             measure_perplexity(command.in, text, command.common, "Perplexity before"));
  FATHOM_TRY(const Perplexity after,
             measure_perplexity(command.out, text, command.common, "Perplexity after"));
  return Json(Json::Object{{"text", text.path},
                           {"n_tokens", before.n_tokens},
                           {"before", before.value},
                           {"after", after.value},
                           {"rise_percent", 100 * (after.value / before.value - 1)}});
}

// What is FP8 stays what it is: rounding it a second time would only lose.
Result<ConversionPlan> plan_fp8_as_it_is(const ConversionInput& input, int64_t shard_bytes) {
  FATHOM_TRY(ConversionPlan plan, plan_reshard(input.config, input.checkpoint, shard_bytes));
  const ModelFiles& files = input.checkpoint->files();
  FATHOM_TRY(const FileBytes config, files.open_small("config.json", kSmallFileBytesMax));
  std::erase_if(plan.copies, [](const std::string& name) {
    return name == "config.json" || name == kQuantizationReport;
  });
  plan.texts.emplace_back("config.json", config.text());
  report_quantization(input.checkpoint, plan);
  plan.notes.push_back(files.describe() + " is FP8 already: its weights stay as they are");
  return plan;
}

CLI::Validator not_empty() {
  return CLI::Validator([](std::string& text) { return text.empty() ? "is empty" : std::string(); },
                        "", "not empty");
}

}  // namespace

void add_quantize_options(CLI::App& app, QuantizeOptions& options) {
  app.add_option(
         "--quantize", options.format,
         "int8 and int4 make a packed folder, with mix the sensitive tensors stay wider; fp8 "
         "(weights that are FP8 stay as they are) and bf16 as in `fathom cast`; of a GGUF file "
         "f32, f16, bf16, q8_0, q4_0, q4_k, q5_k, "
         "q6_k")
      ->type_name("int8|int4|fp8|bf16[,mix]")
      ->default_str("weights stay as they are")
      ->check(not_empty())
      ->group("Output");
  app.add_option("--perplexity", options.perplexity,
                 "With --quantize: a text (.jsonl: lines with text or ids) to measure the "
                 "perplexity on, before and after; - is standard input")
      ->type_name("FILE")
      ->check(not_empty())
      ->default_str("not measured")
      ->group("Report");
  app.add_option("--perplexity-tokens", options.perplexity_tokens,
                 "How many tokens of it are scored at most")
      ->type_name("N")
      ->transform(whole_number(1, 1'000'000'000))
      ->default_str(str_cat(kPerplexityTokens))
      ->group("Report");
}

Status check_quantize(const QuantizeOptions& options) {
  if (options.perplexity_tokens && options.perplexity.empty())
    return usage_error("--perplexity-tokens is about --perplexity, which is not given");
  if (options.format.empty()) {
    if (!options.perplexity.empty())
      return usage_error("--perplexity compares before and after --quantize, which is not given");
    return {};
  }
  if (parse_format(options.format).first.empty()) {
    return usage_error("--quantize is '", printable(options.format),
                       "', expected int8, int4, fp8 or bf16, with ,mix or without");
  }
  return {};
}

bool quantizes_to_packed(const QuantizeOptions& options) {
  return options.format.starts_with("int");
}

Result<ConversionPlan> plan_quantize(const QuantizeOptions& options, const ConversionInput& input,
                                     int64_t shard_bytes) {
  const auto [format, mix] = parse_format(options.format);
  if (quantizes_to_packed(options)) {
    const Dtype dtype = format == "int8" ? Dtype::kInt8 : Dtype::kInt4;
    return plan_pack(input.config, input.checkpoint, packed_formats(dtype, mix), shard_bytes);
  }
  if (format == "fp8" && input.config.quantization_config && !input.config.packed_formats)
    return plan_fp8_as_it_is(input, shard_bytes);
  Result<ConversionPlan> plan =
      format == "bf16" ? plan_cast_to_bf16(input.config, input.checkpoint)
                       : plan_cast_to_fp8(input.config, input.checkpoint, /*ue8m0=*/false);
  if (!plan.ok()) return plan;
  report_quantization(input.checkpoint, *plan);
  if (mix) {
    plan->notes.push_back(
        str_cat("mix changes nothing for ", format,
                format == "bf16" ? ": there is one format for all matrices"
                                 : ": embedding, head, router and norms stay wider in any case"));
  }
  return plan;
}

Result<std::optional<PerplexityText>> read_perplexity(const QuantizeOptions& options,
                                                      const ModelFiles& files) {
  if (options.perplexity.empty()) return std::optional<PerplexityText>();
  FATHOM_TRY(PerplexityText text,
             read_perplexity_text(options.perplexity,
                                  options.perplexity_tokens.value_or(kPerplexityTokens), files));
  return std::optional(std::move(text));
}

Status finish_quantize(const std::optional<PerplexityText>& text,
                       const ConversionCommand& command) {
  const std::string path = join_path(command.out, kQuantizationReport);
  FATHOM_TRY(const std::string json, read_file(path, kReportBytesMax));
  FATHOM_TRY(Json report, parse_json(json));
  if (text) {
    Result<Json> perplexity = compare_perplexities(*text, command);
    if (!perplexity.ok()) {
      // The folder is complete without it.
      FATHOM_RETURN_IF_ERROR(standard_output().write(report_table(report)));
      return std::move(perplexity).error();
    }
    report.set("perplexity", std::move(perplexity).value());
    FATHOM_RETURN_IF_ERROR(write_file(path, report.dump_pretty() + "\n", true));
  }
  return standard_output().write(report_table(report));
}

}  // namespace fathom::cli
