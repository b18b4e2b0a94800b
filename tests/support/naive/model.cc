#include "tests/support/naive/model.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/math.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"
#include "model/rope.h"
#include "model/weights.h"

namespace fathom::naive {
namespace {

constexpr std::string_view kBiasName = "e_score_correction_bias";

// Indices of the k largest, the lower one first among equals.
std::vector<int64_t> largest(const std::vector<double>& x, int64_t k) {
  std::vector<int64_t> index(x.size());
  std::iota(index.begin(), index.end(), 0);
  std::stable_sort(index.begin(), index.end(), [&x](int64_t a, int64_t b) { return x[a] > x[b]; });
  index.resize(static_cast<size_t>(k));
  return index;
}

// Spec §2.5.
std::vector<int64_t> choose(const ModelConfig& config, const double* scores,
                            const std::vector<float>& bias) {
  std::vector<double> biased(bias.size());
  for (size_t e = 0; e < bias.size(); ++e) biased[e] = scores[e] + static_cast<double>(bias[e]);
  const int64_t width = config.n_routed_experts / config.n_group;
  std::vector<double> groups;
  for (int64_t g = 0; g < config.n_group; ++g) {
    std::vector<double> members(biased.begin() + g * width, biased.begin() + (g + 1) * width);
    double sum = 0;
    for (const int64_t e : largest(members, std::min<int64_t>(2, width))) sum += members[e];
    groups.push_back(sum);
  }
  const auto kept = largest(groups, config.topk_group);
  for (int64_t e = 0; e < config.n_routed_experts; ++e) {
    if (std::find(kept.begin(), kept.end(), e / width) == kept.end())
      biased[e] = -std::numeric_limits<double>::infinity();
  }
  return largest(biased, config.num_experts_per_tok);
}

}  // namespace

// The operations of one sequence.
struct Model::Pass {
  Model& model;
  const ModelConfig& c;
  Graph graph;
  const LossWeights& weights;
  LossSums& sums;

  Node w(const std::string& name) { return model.parameter(name + ".weight"); }
  Node norm(const Node& x, const std::string& name) {
    return graph.rms_norm(x, w(name), c.rms_norm_eps);
  }
  Node mlp(const Node& x, const std::string& prefix) {
    const Node gate = graph.linear(x, w(prefix + "gate_proj"));
    const Node up = graph.linear(x, w(prefix + "up_proj"));
    return graph.linear(graph.silu_mul(gate, up), w(prefix + "down_proj"));
  }

  Node attention(const Node& x, const std::string& prefix) {
    const Node q =
        c.has_q_lora()
            ? graph.linear(norm(graph.linear(x, w(prefix + "q_a_proj")), prefix + "q_a_layernorm"),
                           w(prefix + "q_b_proj"))
            : graph.linear(x, w(prefix + "q_proj"));
    const Node kv_a = graph.linear(x, w(prefix + "kv_a_proj_with_mqa"));
    const Node latent = norm(graph.columns(kv_a, 0, c.kv_lora_rank), prefix + "kv_a_layernorm");
    const std::vector<double> inv_freq = rope_inv_freq(c);
    const int64_t rope = c.qk_rope_head_dim;
    const Node k_rope = graph.rope(graph.columns(kv_a, c.kv_lora_rank, rope), 1, rope, inv_freq);
    const Node o = graph.attention(graph.rope(q, c.num_attention_heads, rope, inv_freq),
                                   graph.linear(latent, w(prefix + "kv_b_proj")), k_rope,
                                   {c.num_attention_heads, c.qk_nope_head_dim, rope, c.v_head_dim,
                                    static_cast<double>(softmax_scale(c))});
    return graph.linear(o, w(prefix + "o_proj"));
  }

  Node moe(const Node& x, const std::string& prefix, size_t moe_layer) {
    const Node scores = graph.sigmoid(graph.linear(x, w(prefix + "gate")));
    const int64_t k = c.num_experts_per_tok;
    std::vector<int64_t> chosen;
    std::vector<double> f(static_cast<size_t>(c.n_routed_experts));
    for (int64_t t = 0; t < x->m; ++t) {
      const auto mine = choose(c, scores->row(t), model.biases_[moe_layer]);
      chosen.insert(chosen.end(), mine.begin(), mine.end());
      for (const int64_t e : mine) ++sums.loads[moe_layer][e];
      const std::vector<double> plain(scores->row(t), scores->row(t) + scores->n);
      for (const int64_t e : largest(plain, k))
        f[e] += static_cast<double>(c.n_routed_experts) / static_cast<double>(k * x->m);
    }
    const double alpha = weights.balance_alpha * weights.balance_scale;
    sums.balance +=
        graph.balance(scores, f, alpha * weights.gradient_scale) / weights.gradient_scale;
    const Node gates =
        graph.normalised_choice(scores, chosen, k, c.routed_scaling_factor, c.norm_topk_prob);
    Node out = c.n_shared_experts > 0 ? mlp(x, prefix + "shared_experts.") : nullptr;
    for (int64_t e = 0; e < c.n_routed_experts; ++e) {
      std::vector<int64_t> rows;
      std::vector<std::pair<int64_t, int64_t>> at;
      for (int64_t i = 0; i < x->m * k; ++i) {
        if (chosen[i] != e) continue;
        rows.push_back(i / k);
        at.emplace_back(i / k, i % k);
      }
      if (rows.empty()) continue;
      const Node y = mlp(graph.rows(x, rows), str_cat(prefix, "experts.", e, "."));
      const Node part = graph.scatter(y, rows, graph.entries(gates, at), x->m);
      out = out == nullptr ? part : graph.add(out, part);
    }
    return out;
  }

  Node layer(const Node& x, int64_t index) {
    const std::string prefix = layer_prefix(index);
    const Node h =
        graph.add(x, attention(norm(x, prefix + "input_layernorm"), prefix + "self_attn."));
    const Node u = norm(h, prefix + "post_attention_layernorm");
    const auto moe_layer = static_cast<size_t>(index - c.first_k_dense_replace);
    return graph.add(
        h, c.is_moe_layer(index) ? moe(u, prefix + "mlp.", moe_layer) : mlp(u, prefix + "mlp."));
  }
};

Model::Model(const ModelConfig& config) : config_(config) {
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    if (tensor.name.ends_with(kBiasName)) {
      biases_.emplace_back(static_cast<size_t>(config.n_routed_experts));
    } else if (!tensor.optional) {
      const bool matrix = tensor.shape.size() == 2;
      tensors_.push_back({.name = tensor.name, .shape = tensor.shape, .decay = matrix});
    }
  }
  std::sort(tensors_.begin(), tensors_.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  int64_t end = 0;
  for (TrainedTensor& tensor : tensors_) {
    tensor.offset = end;
    tensor.size = 1;
    for (const int64_t n : tensor.shape) tensor.size *= n;
    end = round_up(end + tensor.size, 16);
  }
  values_.resize(static_cast<size_t>(end));
  gradients_.resize(static_cast<size_t>(end));
}

Status Model::load(const std::string& safetensors_path) {
  FATHOM_TRY(const MappedFile mapped, MappedFile::open(safetensors_path));
  FATHOM_TRY(const SafetensorsFile file, parse_safetensors(mapped.bytes(), safetensors_path));
  for (const NamedTensor& entry : file.tensors) {
    for (const TrainedTensor& tensor : tensors_) {
      if (tensor.name != entry.name) continue;
      std::memcpy(values_.data() + tensor.offset, entry.tensor.data,
                  static_cast<size_t>(tensor.size) * sizeof(float));
    }
    if (!entry.name.ends_with(kBiasName)) continue;
    const size_t digit = layer_prefix(0).size() - 2;  // "model.layers.4.": one digit is enough here
    const int64_t layer = entry.name[digit] - '0';
    std::memcpy(biases_[static_cast<size_t>(layer - config_.first_k_dense_replace)].data(),
                entry.tensor.data, static_cast<size_t>(entry.tensor.bytes()));
  }
  return {};
}

std::vector<std::span<float>> Model::router_biases() {
  std::vector<std::span<float>> out;
  for (auto& bias : biases_) out.emplace_back(bias);
  return out;
}

Node Model::parameter(const std::string& name) {
  Node& node = parameters_[name];
  if (node != nullptr) return node;
  const auto tensor = std::find_if(tensors_.begin(), tensors_.end(),
                                   [&name](const auto& t) { return t.name == name; });
  FATHOM_CHECK(tensor != tensors_.end(), "no tensor ", name);
  const int64_t cols = tensor->shape.back();
  node = std::make_shared<Matrix>(tensor->size / cols, cols);
  std::copy_n(values_.begin() + tensor->offset, tensor->size, node->v.begin());
  return node;
}

void Model::add_sequence(std::span<const int32_t> tokens, std::span<const uint8_t> mask,
                         const LossWeights& weights, LossSums& sums) {
  const size_t t = mask.size();
  Pass pass{*this, config_, {}, weights, sums};
  const Node table = pass.w("model.embed_tokens");
  const Node head = pass.w("lm_head");
  Node x = pass.graph.rows(table, {tokens.begin(), tokens.begin() + static_cast<int64_t>(t)});
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) x = pass.layer(x, i);
  const Node hidden = pass.norm(x, "model.norm");
  sums.main += weights.main_scale *
               pass.graph.cross_entropy(pass.graph.linear(hidden, head), tokens.subspan(1), mask,
                                        weights.main_scale * weights.gradient_scale);
  if (config_.num_nextn_predict_layers > 0 && weights.mtp_lambda > 0) {
    // Position i, with the embedding of token i + 1, predicts token i + 2.
    const std::string prefix = layer_prefix(config_.num_hidden_layers);
    std::vector<int64_t> positions(t - 1);
    std::iota(positions.begin(), positions.end(), 0);
    const Node next =
        pass.graph.rows(table, {tokens.begin() + 1, tokens.begin() + static_cast<int64_t>(t)});
    const Node both =
        pass.graph.beside(pass.norm(next, prefix + "enorm"),
                          pass.norm(pass.graph.rows(hidden, positions), prefix + "hnorm"));
    const Node h =
        pass.layer(pass.graph.linear(both, pass.w(prefix + "eh_proj")), config_.num_hidden_layers);
    const Node logits = pass.graph.linear(pass.norm(h, prefix + "shared_head.norm"), head);
    sums.mtp += weights.mtp_scales[0] *
                pass.graph.cross_entropy(
                    logits, tokens.subspan(2), mask.subspan(1),
                    weights.mtp_scales[0] * weights.mtp_lambda * weights.gradient_scale);
  }
  pass.graph.backward();
}

Result<LossSums> Model::forward_backward(std::span<const int32_t> tokens,
                                         std::span<const uint8_t> mask, int64_t n_sequences,
                                         const LossWeights& weights) {
  LossSums sums;
  for (const auto& bias : biases_) sums.loads.emplace_back(bias.size());
  const size_t t = mask.size() / static_cast<size_t>(n_sequences);
  for (size_t s = 0; s < static_cast<size_t>(n_sequences); ++s)
    add_sequence(tokens.subspan(s * (t + 1), t + 1), mask.subspan(s * t, t), weights, sums);
  for (const TrainedTensor& tensor : tensors_) {
    const auto node = parameters_.find(tensor.name);
    if (node == parameters_.end()) continue;
    for (int64_t i = 0; i < tensor.size; ++i)
      gradients_[static_cast<size_t>(tensor.offset + i)] +=
          static_cast<float>(node->second->g[static_cast<size_t>(i)]);
  }
  parameters_.clear();
  return sums;
}

}  // namespace fathom::naive
