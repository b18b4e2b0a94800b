#include "cli/inspect_report.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "base/str_cat.h"
#include "io/files.h"
#include "io/printable.h"

namespace fathom::cli {

namespace {

constexpr int64_t kNeverFits = -1;

// A row of cells, each padded to its column's width; numbers to the right, words to the left.
struct Column {
  size_t width = 0;
  bool right = true;
};

// Columns of what a reader counts, not bytes: cells hold ASCII, but for the names of files.
std::string row(const std::vector<Column>& columns, const std::vector<std::string>& cells) {
  std::string out = " ";
  for (size_t i = 0; i < cells.size(); ++i) {
    const size_t width = i < columns.size() ? columns[i].width : 0;
    const std::string pad(cells[i].size() < width ? width - cells[i].size() : 0, ' ');
    str_append(out, " ", i < columns.size() && columns[i].right ? pad + cells[i] : cells[i] + pad);
  }
  return out.substr(0, out.find_last_not_of(' ') + 1) + "\n";
}

struct Fit {
  std::string name;
  int64_t weight_bytes = 0;
  int64_t context[3] = {kNeverFits, kNeverFits,
                        kNeverFits};  // tokens with a cache in BF16, FP8, F32
};

constexpr KvDtype kKvDtypes[] = {KvDtype::kBf16, KvDtype::kFp8, KvDtype::kF32};

ByteCount bytes_of(const std::vector<InspectedTensor>& tensors) {
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const InspectedTensor& tensor : tensors) specs.push_back(tensor.spec);
  return count_bytes(specs);
}

std::vector<Fit> fits(const Inspection& in) {
  std::vector<Fit> out = {{"as they are", bytes_of(in.tensors).total}};
  out.push_back({"FP8", count_bytes(stored_tensors(in.config, WeightPrecision::kFp8)).total});
  out.push_back({"BF16", count_bytes(stored_tensors(in.config, WeightPrecision::kBf16)).total});
  out.push_back({"F32", count_bytes(stored_tensors(in.config, WeightPrecision::kF32)).total});
  for (Fit& fit : out) {
    const int64_t left = in.memory_bytes - fit.weight_bytes;
    if (left < 0) continue;
    for (size_t i = 0; i < 3; ++i) {
      fit.context[i] = std::min(left / kv_bytes_per_token(in.config, kKvDtypes[i]),
                                in.config.max_position_embeddings);
    }
  }
  return out;
}

// "packed: INT8 attention, lm_head; INT4 routed_experts".
std::string packed_precision(const PackedFormats& formats) {
  std::string out = "packed";
  for (const Dtype dtype : {Dtype::kInt8, Dtype::kInt4}) {
    std::string kinds;
    for (size_t i = 0; i < kWeightKinds; ++i) {
      const auto kind = static_cast<WeightKind>(i);
      if (formats.of(kind) == dtype)
        str_append(kinds, kinds.empty() ? " " : ", ", weight_kind_name(kind));
    }
    if (!kinds.empty()) str_append(out, out == "packed" ? ": " : "; ", dtype_name(dtype), kinds);
  }
  return out;
}

std::string precision(const ModelConfig& config) {
  if (config.packed_formats) return packed_precision(*config.packed_formats);
  if (!config.quantization_config)
    return config.torch_dtype.empty() ? "not named" : config.torch_dtype;
  return str_cat("FP8 in blocks of 128x128",
                 config.quantization_config->ue8m0 ? ", scales powers of two (ue8m0)" : "");
}

std::string plural(int64_t n, const std::string& noun) {
  return str_cat(grouped(n), " ", noun, n == 1 ? "" : "s");
}

std::string architecture(const Inspection& in) {
  const ModelConfig& c = in.config;
  const int64_t n_moe = c.num_hidden_layers - c.first_k_dense_replace;
  std::string layers = str_cat(c.num_hidden_layers, " (", c.first_k_dense_replace, " dense, ",
                               n_moe, " of experts)");
  if (c.num_nextn_predict_layers > 0)
    str_append(layers, ", ", plural(c.num_nextn_predict_layers, "MTP module"));
  std::string experts =
      str_cat(c.n_routed_experts, " routed, ", c.num_experts_per_tok, " per token");
  if (c.n_group > 1) str_append(experts, " from ", c.topk_group, " of ", c.n_group, " groups");
  str_append(experts, " by ", scoring_func_name(c.scoring_func), " scores (",
             topk_method_name(c.topk_method), "), ", c.n_shared_experts, " shared");
  std::string attention = str_cat(c.num_attention_heads, " heads, latent ", c.kv_lora_rank,
                                  " + rope key ", c.qk_rope_head_dim, ", query ");
  attention += c.has_q_lora() ? str_cat("latent ", c.q_lora_rank) : std::string("without a latent");
  std::string context = plural(c.max_position_embeddings, "token");
  if (c.rope_scaling) {
    str_append(context, " (YaRN ", c.rope_scaling->factor, " over ",
               grouped(c.rope_scaling->original_max_position_embeddings), ")");
  }
  std::string out = str_cat(c.family(), ", from ", in.source, "\n");
  if (!in.verified.empty()) str_append(out, "verified: ", in.verified, "\n");
  out += '\n';
  const auto line = [&](std::string_view name, const std::string& text) {
    str_append(out, "  ", name, std::string(13 - name.size(), ' '), text, "\n");
  };
  line("layers", layers);
  line("hidden size", str_cat(grouped(c.hidden_size), ", vocabulary ", grouped(c.vocab_size),
                              c.tie_word_embeddings ? " (embedding and head are tied)" : ""));
  line("attention", attention);
  line("experts", experts);
  line("context", context);
  line("precision", precision(c));
  return out;
}

std::string parameters_text(const ParameterCount& count) {
  const std::vector<Column> columns = {{23, false}, {13}, {7}, {17}, {16}, {1, false}};
  std::string out = "\nParameters\n";
  out += row(columns, {"", "of one", "times", "total", "activated", " one is made of"});
  bool mtp = false;
  const auto totals = [&] {
    out += row(columns, {"total", "", "", grouped(count.total), grouped(count.activated)});
    out += row(columns,
               {"without the embedding", "", "", "", grouped(count.activated_without_embedding)});
  };
  for (const ParameterItem& item : count.items) {
    if (item.mtp && !mtp) {
      totals();
      out += "\nMTP (multi-token prediction)\n";
    }
    mtp = mtp || item.mtp;
    out += row(columns, {item.name, grouped(item.one), grouped(item.count), grouped(item.total),
                         grouped(item.activated), " " + item.terms});
  }
  if (!mtp) {
    totals();
    return out;
  }
  out += row(columns, {"total as stored", "", "", grouped(count.mtp_stored)});
  out += row(columns, {"without the copies", "", "", grouped(count.mtp_unique)});
  return out;
}

std::string bytes_text(const Inspection& in) {
  const ByteCount bytes = bytes_of(in.tensors);
  const std::vector<Column> columns = {{23, false}, {19}, {12}};
  std::string out = str_cat(
      "\n",
      in.from_files ? "Bytes of the weights" : "Bytes of the weights, as this config stores them",
      "\n");
  for (const auto& [dtype, n] : bytes.by_dtype) {
    out += row(columns, {std::string(dtype_name(dtype)), grouped(n), human_bytes(n)});
  }
  out +=
      row(columns, {str_cat("total, ", plural(static_cast<int64_t>(in.tensors.size()), "tensor")),
                    grouped(bytes.total), human_bytes(bytes.total)});
  out += "\nCache per token, bytes\n";
  const char* const names[] = {"BF16", "FP8", "F32"};
  for (size_t i = 0; i < 3; ++i)
    out += row(columns, {names[i], grouped(kv_bytes_per_token(in.config, kKvDtypes[i]))});
  return out;
}

std::string fits_text(const Inspection& in) {
  const std::vector<Column> columns = {{23, false}, {12}, {19}, {15}, {15}};
  std::string out = str_cat("\nWhat fits into ", human_bytes(in.memory_bytes),
                            in.memory_is_this_machines ? " (this machine)" : "", "\n");
  out += row(columns, {"weights", "bytes", "context, BF16 cache", "FP8 cache", "F32 cache"});
  for (const Fit& fit : fits(in)) {
    std::vector<std::string> cells = {fit.name, human_bytes(fit.weight_bytes)};
    for (const int64_t context : fit.context)
      cells.push_back(context == kNeverFits ? "-" : grouped(context));
    if (fit.context[0] == kNeverFits)
      cells = {fit.name, human_bytes(fit.weight_bytes), "does not fit"};
    out += row(columns, cells);
  }
  return out;
}

std::string tensors_text(const std::vector<InspectedTensor>& tensors) {
  std::vector<Column> columns = {{0, false}, {8, false}, {0, false}, {0}, {0, false}};
  std::vector<std::vector<std::string>> rows;
  for (const InspectedTensor& tensor : tensors) {
    rows.push_back({printable(tensor.spec.name), std::string(dtype_name(tensor.spec.dtype)),
                    str_list(tensor.spec.shape), grouped(count_bytes({tensor.spec}).total),
                    " " + printable(tensor.file)});
    for (size_t i = 0; i < columns.size(); ++i)
      columns[i].width = std::max(columns[i].width, rows.back()[i].size());
  }
  std::string out = "\nTensors\n";
  for (const std::vector<std::string>& cells : rows) out += row(columns, cells);
  return out;
}

// The limit of a control group (version 2, else 1), or nothing.
int64_t cgroup_limit() {
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    const Result<std::string> text = read_file(path, 4096);
    int64_t limit = 0;
    if (!text.ok()) continue;  // absent, or "max"
    const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), limit);
    if (ec == std::errc() && limit > 0) return limit;
  }
  return INT64_MAX;
}

}  // namespace

std::string grouped(int64_t n) {
  const std::string digits = str_cat(n);
  const size_t first = n < 0 ? 1 : 0;
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > first && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string human_bytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"bytes", "KB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (std::round(value * 10) >= 10000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0) return str_cat(bytes, " bytes");
  const auto tenths = static_cast<int64_t>(std::llround(value * 10));
  return str_cat(tenths / 10, ".", tenths % 10, " ", kUnits[unit]);
}

int64_t machine_memory_bytes() {
  const int64_t pages = ::sysconf(_SC_PHYS_PAGES);
  const int64_t page_bytes = ::sysconf(_SC_PAGESIZE);
  return std::min(std::max<int64_t>(pages, 0) * page_bytes, cgroup_limit());
}

std::string inspection_text(const Inspection& in, bool with_tensors) {
  return architecture(in) + parameters_text(in.parameters) + bytes_text(in) + fits_text(in) +
         (with_tensors ? tensors_text(in.tensors) : std::string());
}

Json inspection_json(const Inspection& in) {
  const ParameterCount& count = in.parameters;
  Json items = Json::array();
  for (const ParameterItem& item : count.items) {
    items.push_back(Json::Object{{"name", item.name},
                                 {"terms", item.terms},
                                 {"one", item.one},
                                 {"count", item.count},
                                 {"total", item.total},
                                 {"activated", item.activated},
                                 {"mtp", item.mtp}});
  }
  const ByteCount byte_count = bytes_of(in.tensors);
  Json bytes = Json::object();
  for (const auto& [dtype, n] : byte_count.by_dtype) bytes.set(dtype_name(dtype), n);
  bytes.set("total", byte_count.total);
  Json kv = Json::object();
  const char* const kv_names[] = {"bf16", "fp8", "f32"};
  for (size_t i = 0; i < 3; ++i) kv.set(kv_names[i], kv_bytes_per_token(in.config, kKvDtypes[i]));
  Json weights = Json::array();
  for (const Fit& fit : fits(in)) {
    Json entry = Json::Object{
        {"weights", fit.name}, {"bytes", fit.weight_bytes}, {"fits", fit.context[0] != kNeverFits}};
    Json context = Json::object();
    for (size_t i = 0; i < 3; ++i) context.set(kv_names[i], std::max<int64_t>(fit.context[i], 0));
    entry.set("context", std::move(context));
    weights.push_back(std::move(entry));
  }
  Json tensors = Json::array();
  for (const InspectedTensor& tensor : in.tensors) {
    Json shape = Json::array();
    for (const int64_t extent : tensor.spec.shape) shape.push_back(extent);
    tensors.push_back(Json::Object{{"name", tensor.spec.name},
                                   {"dtype", dtype_name(tensor.spec.dtype)},
                                   {"shape", std::move(shape)},
                                   {"bytes", count_bytes({tensor.spec}).total},
                                   {"file", tensor.file.empty() ? Json() : Json(tensor.file)}});
  }
  return Json::Object{
      {"family", in.config.family()},
      {"parameters",
       Json::Object{{"total", count.total},
                    {"activated", count.activated},
                    {"activated_without_embedding", count.activated_without_embedding},
                    {"mtp_stored", count.mtp_stored},
                    {"mtp_unique", count.mtp_unique},
                    {"items", std::move(items)}}},
      {"bytes", std::move(bytes)},
      {"kv_bytes_per_token", std::move(kv)},
      {"memory", Json::Object{{"bytes", in.memory_bytes}, {"fits", std::move(weights)}}},
      {"tensors", std::move(tensors)}};
}

}  // namespace fathom::cli
