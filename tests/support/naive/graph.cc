#include "tests/support/naive/graph.h"

#include <algorithm>
#include <cmath>

namespace fathom::naive {

void Graph::backward() {
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) (*step)();
  steps_.clear();
}

Node Graph::linear(const Node& x, const Node& w) {
  const Node y = make(x->m, w->m);
  for (int64_t i = 0; i < x->m; ++i) {
    for (int64_t j = 0; j < w->m; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < x->n; ++k) sum += x->row(i)[k] * w->row(j)[k];
      y->row(i)[j] = sum;
    }
  }
  record([x, w, y] {
    for (int64_t i = 0; i < x->m; ++i) {
      for (int64_t j = 0; j < w->m; ++j) {
        const double g = y->grad(i)[j];
        for (int64_t k = 0; k < x->n; ++k) {
          x->grad(i)[k] += g * w->row(j)[k];
          w->grad(j)[k] += g * x->row(i)[k];
        }
      }
    }
  });
  return y;
}

Node Graph::rms_norm(const Node& x, const Node& weight, double eps) {
  const Node y = make(x->m, x->n);
  const auto n = static_cast<double>(x->n);
  const auto inverse = [eps, n](const double* row, int64_t count) {
    double sum = 0;
    for (int64_t k = 0; k < count; ++k) sum += row[k] * row[k];
    return 1.0 / std::sqrt(sum / n + eps);
  };
  for (int64_t i = 0; i < x->m; ++i) {
    const double r = inverse(x->row(i), x->n);
    for (int64_t k = 0; k < x->n; ++k) y->row(i)[k] = x->row(i)[k] * r * weight->v[k];
  }
  record([=] {
    for (int64_t i = 0; i < x->m; ++i) {
      const double r = inverse(x->row(i), x->n);
      double dot = 0;
      for (int64_t k = 0; k < x->n; ++k) dot += y->grad(i)[k] * weight->v[k] * x->row(i)[k];
      for (int64_t k = 0; k < x->n; ++k) {
        weight->g[k] += y->grad(i)[k] * x->row(i)[k] * r;
        x->grad(i)[k] += r * (y->grad(i)[k] * weight->v[k] - x->row(i)[k] * dot * r * r / n);
      }
    }
  });
  return y;
}

Node Graph::add(const Node& a, const Node& b) {
  const Node y = make(a->m, a->n);
  for (size_t i = 0; i < y->v.size(); ++i) y->v[i] = a->v[i] + b->v[i];
  record([=] {
    for (size_t i = 0; i < y->v.size(); ++i) {
      a->g[i] += y->g[i];
      b->g[i] += y->g[i];
    }
  });
  return y;
}

Node Graph::silu_mul(const Node& gate, const Node& up) {
  const Node y = make(gate->m, gate->n);
  for (size_t i = 0; i < y->v.size(); ++i)
    y->v[i] = gate->v[i] / (1 + std::exp(-gate->v[i])) * up->v[i];
  record([=] {
    for (size_t i = 0; i < y->v.size(); ++i) {
      const double s = 1 / (1 + std::exp(-gate->v[i]));
      up->g[i] += y->g[i] * gate->v[i] * s;
      gate->g[i] += y->g[i] * up->v[i] * s * (1 + gate->v[i] * (1 - s));
    }
  });
  return y;
}

Node Graph::sigmoid(const Node& x) {
  const Node y = make(x->m, x->n);
  for (size_t i = 0; i < y->v.size(); ++i) y->v[i] = 1 / (1 + std::exp(-x->v[i]));
  record([=] {
    for (size_t i = 0; i < y->v.size(); ++i) x->g[i] += y->g[i] * y->v[i] * (1 - y->v[i]);
  });
  return y;
}

Node Graph::columns(const Node& x, int64_t begin, int64_t count) {
  const Node y = make(x->m, count);
  for (int64_t i = 0; i < x->m; ++i) std::copy_n(x->row(i) + begin, count, y->row(i));
  record([=] {
    for (int64_t i = 0; i < x->m; ++i) {
      for (int64_t k = 0; k < count; ++k) x->grad(i)[begin + k] += y->grad(i)[k];
    }
  });
  return y;
}

Node Graph::beside(const Node& a, const Node& b) {
  const Node y = make(a->m, a->n + b->n);
  for (int64_t i = 0; i < a->m; ++i) {
    std::copy_n(a->row(i), a->n, y->row(i));
    std::copy_n(b->row(i), b->n, y->row(i) + a->n);
  }
  record([=] {
    for (int64_t i = 0; i < a->m; ++i) {
      for (int64_t k = 0; k < a->n; ++k) a->grad(i)[k] += y->grad(i)[k];
      for (int64_t k = 0; k < b->n; ++k) b->grad(i)[k] += y->grad(i)[a->n + k];
    }
  });
  return y;
}

Node Graph::rows(const Node& x, const std::vector<int64_t>& index) {
  const Node y = make(static_cast<int64_t>(index.size()), x->n);
  for (int64_t i = 0; i < y->m; ++i) std::copy_n(x->row(index[i]), x->n, y->row(i));
  record([=] {
    for (int64_t i = 0; i < y->m; ++i) {
      for (int64_t k = 0; k < x->n; ++k) x->grad(index[i])[k] += y->grad(i)[k];
    }
  });
  return y;
}

Node Graph::rope(const Node& x, int64_t n_heads, int64_t dim, const std::vector<double>& inv_freq) {
  const Node y = make(x->m, x->n);
  y->v = x->v;
  const int64_t width = x->n / n_heads;
  // Rotates by sign * angle, from `from` to `to` or adding.
  const auto turn = [=](const double* from, double* to, int64_t position, double sign) {
    for (int64_t h = 0; h < n_heads; ++h) {
      for (int64_t j = 0; j < dim / 2; ++j) {
        const int64_t at = (h + 1) * width - dim + 2 * j;
        const double angle = sign * static_cast<double>(position) * inv_freq[j];
        const double a = from[at], b = from[at + 1];
        to[at] = a * std::cos(angle) - b * std::sin(angle);
        to[at + 1] = a * std::sin(angle) + b * std::cos(angle);
      }
    }
  };
  for (int64_t i = 0; i < x->m; ++i) turn(x->row(i), y->row(i), i, 1);
  record([=] {
    std::vector<double> back(static_cast<size_t>(x->n));
    for (int64_t i = 0; i < x->m; ++i) {
      std::copy_n(y->grad(i), x->n, back.begin());
      turn(y->grad(i), back.data(), i, -1);
      for (int64_t k = 0; k < x->n; ++k) x->grad(i)[k] += back[k];
    }
  });
  return y;
}

Node Graph::attention(const Node& q, const Node& kv, const Node& k_rope, const Heads& heads) {
  const int64_t t = q->m, q_width = heads.nope + heads.rope, kv_width = heads.nope + heads.value;
  const Node y = make(t, heads.n_heads * heads.value);
  const auto p = std::make_shared<std::vector<double>>(heads.n_heads * t * t);
  for (int64_t h = 0; h < heads.n_heads; ++h) {
    for (int64_t i = 0; i < t; ++i) {
      double* row = p->data() + (h * t + i) * t;
      double total = 0;
      for (int64_t j = 0; j <= i; ++j) {
        const double* query = q->row(i) + h * q_width;
        double s = 0;
        for (int64_t k = 0; k < heads.nope; ++k) s += query[k] * kv->row(j)[h * kv_width + k];
        for (int64_t k = 0; k < heads.rope; ++k) s += query[heads.nope + k] * k_rope->row(j)[k];
        total += row[j] = std::exp(s * heads.scale);
      }
      for (int64_t j = 0; j <= i; ++j) {
        row[j] /= total;
        for (int64_t k = 0; k < heads.value; ++k)
          y->row(i)[h * heads.value + k] += row[j] * kv->row(j)[h * kv_width + heads.nope + k];
      }
    }
  }
  record([=] {
    std::vector<double> dp(static_cast<size_t>(t));
    for (int64_t h = 0; h < heads.n_heads; ++h) {
      for (int64_t i = 0; i < t; ++i) {
        const double* row = p->data() + (h * t + i) * t;
        const double* dy = y->grad(i) + h * heads.value;
        double mean = 0;
        for (int64_t j = 0; j <= i; ++j) {
          double* value_grad = kv->grad(j) + h * kv_width + heads.nope;
          dp[j] = 0;
          for (int64_t k = 0; k < heads.value; ++k) {
            dp[j] += dy[k] * kv->row(j)[h * kv_width + heads.nope + k];
            value_grad[k] += row[j] * dy[k];
          }
          mean += row[j] * dp[j];
        }
        const double* query = q->row(i) + h * q_width;
        double* query_grad = q->grad(i) + h * q_width;
        for (int64_t j = 0; j <= i; ++j) {
          const double ds = row[j] * (dp[j] - mean) * heads.scale;
          for (int64_t k = 0; k < heads.nope; ++k) {
            query_grad[k] += ds * kv->row(j)[h * kv_width + k];
            kv->grad(j)[h * kv_width + k] += ds * query[k];
          }
          for (int64_t k = 0; k < heads.rope; ++k) {
            query_grad[heads.nope + k] += ds * k_rope->row(j)[k];
            k_rope->grad(j)[k] += ds * query[heads.nope + k];
          }
        }
      }
    }
  });
  return y;
}

Node Graph::scatter(const Node& x, const std::vector<int64_t>& index, const Node& weight,
                    int64_t m) {
  const Node y = make(m, x->n);
  for (int64_t i = 0; i < x->m; ++i) {
    for (int64_t k = 0; k < x->n; ++k) y->row(index[i])[k] += weight->v[i] * x->row(i)[k];
  }
  record([=] {
    for (int64_t i = 0; i < x->m; ++i) {
      for (int64_t k = 0; k < x->n; ++k) {
        weight->g[i] += y->grad(index[i])[k] * x->row(i)[k];
        x->grad(i)[k] += y->grad(index[i])[k] * weight->v[i];
      }
    }
  });
  return y;
}

Node Graph::normalised_choice(const Node& scores, const std::vector<int64_t>& chosen, int64_t k,
                              double factor, bool normalise) {
  const Node y = make(scores->m, k);
  const auto sum_of = [=](int64_t i) {
    double sum = normalise ? 1e-20 : 1.0;
    for (int64_t c = 0; normalise && c < k; ++c) sum += scores->row(i)[chosen[i * k + c]];
    return sum;
  };
  for (int64_t i = 0; i < y->m; ++i) {
    for (int64_t c = 0; c < k; ++c)
      y->row(i)[c] = scores->row(i)[chosen[i * k + c]] / sum_of(i) * factor;
  }
  record([=] {
    for (int64_t i = 0; i < y->m; ++i) {
      const double sum = sum_of(i);
      double dot = 0;
      for (int64_t c = 0; normalise && c < k; ++c) dot += y->grad(i)[c] * y->row(i)[c];
      for (int64_t c = 0; c < k; ++c)
        scores->grad(i)[chosen[i * k + c]] += (y->grad(i)[c] * factor - dot) / sum;
    }
  });
  return y;
}

Node Graph::entries(const Node& x, const std::vector<std::pair<int64_t, int64_t>>& at) {
  const Node y = make(static_cast<int64_t>(at.size()), 1);
  for (size_t i = 0; i < at.size(); ++i) y->v[i] = x->row(at[i].first)[at[i].second];
  record([=] {
    for (size_t i = 0; i < at.size(); ++i) x->grad(at[i].first)[at[i].second] += y->g[i];
  });
  return y;
}

double Graph::cross_entropy(const Node& logits, std::span<const int32_t> targets,
                            std::span<const uint8_t> mask, double scale) {
  double loss = 0;
  for (int64_t i = 0; i < logits->m; ++i) {
    if (mask[static_cast<size_t>(i)] == 0) continue;
    const double max = *std::max_element(logits->row(i), logits->row(i) + logits->n);
    double total = 0;
    for (int64_t v = 0; v < logits->n; ++v) total += std::exp(logits->row(i)[v] - max);
    const int32_t target = targets[static_cast<size_t>(i)];
    loss += std::log(total) + max - logits->row(i)[target];
    for (int64_t v = 0; v < logits->n; ++v)
      logits->grad(i)[v] += scale * std::exp(logits->row(i)[v] - max) / total;
    logits->grad(i)[target] -= scale;
  }
  return loss;
}

double Graph::balance(const Node& scores, const std::vector<double>& f, double strength) {
  double loss = 0;
  const double per_row = strength / static_cast<double>(scores->m);
  for (int64_t i = 0; i < scores->m; ++i) {
    double sum = 0, dot = 0;
    for (int64_t e = 0; e < scores->n; ++e) sum += scores->row(i)[e];
    for (int64_t e = 0; e < scores->n; ++e) dot += f[e] * scores->row(i)[e] / sum;
    loss += per_row * dot;
    for (int64_t e = 0; e < scores->n; ++e) scores->grad(i)[e] += per_row * (f[e] - dot) / sum;
  }
  return loss;
}

}  // namespace fathom::naive
