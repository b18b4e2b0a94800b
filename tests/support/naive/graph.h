// Matrices of doubles with their gradients, and the operations of a transformer on them, each with
// its backward beside it: plain loops for tests, to hold fast code against. Operations are recorded
// as they are computed; backward() runs them in reverse.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace fathom::naive {

struct Matrix {
  Matrix(int64_t rows, int64_t cols)
      : m(rows),
        n(cols),
        v(static_cast<size_t>(rows * cols)),
        g(static_cast<size_t>(rows * cols)) {}
  double* row(int64_t i) { return v.data() + i * n; }
  double* grad(int64_t i) { return g.data() + i * n; }
  int64_t m, n;
  std::vector<double> v, g;
};
using Node = std::shared_ptr<Matrix>;

class Graph {
 public:
  // y = x w^T; x [m, k], w [n, k].
  Node linear(const Node& x, const Node& w);
  // weight [1, n].
  Node rms_norm(const Node& x, const Node& weight, double eps);
  Node add(const Node& a, const Node& b);
  Node silu_mul(const Node& gate, const Node& up);
  Node sigmoid(const Node& x);
  Node columns(const Node& x, int64_t begin, int64_t count);
  Node beside(const Node& a, const Node& b);
  Node rows(const Node& x, const std::vector<int64_t>& index);
  // Rotates the last `dim` columns of each of n_heads column groups by the angles of position
  // (row i is at position i): neighbouring pairs.
  Node rope(const Node& x, int64_t n_heads, int64_t dim, const std::vector<double>& inv_freq);
  // Causal attention of n_heads. q [t, heads * (nope + rope)], kv [t, heads * (nope + value)] per
  // head key then value, k_rope [t, rope] shared by all heads. Gives [t, heads * value].
  struct Heads {
    int64_t n_heads, nope, rope, value;
    double scale;
  };
  Node attention(const Node& q, const Node& kv, const Node& k_rope, const Heads& heads);
  // y[index[i]] += weight[i] * x[i] into a matrix of m rows; weight [x.m, 1].
  Node scatter(const Node& x, const std::vector<int64_t>& index, const Node& weight, int64_t m);
  // weight of each choice: scores of the chosen over their sum, times factor. chosen [m, k] indices
  // into the columns of scores. Gives [m, k].
  Node normalised_choice(const Node& scores, const std::vector<int64_t>& chosen, int64_t k,
                         double factor, bool normalise);
  // The single entries (row, col) of x as a column.
  Node entries(const Node& x, const std::vector<std::pair<int64_t, int64_t>>& at);
  // Sum over rows of -log softmax(logits)[target], times scale as the gradient has it; rows with
  // mask 0 do not count.
  double cross_entropy(const Node& logits, std::span<const int32_t> targets,
                       std::span<const uint8_t> mask, double scale);
  // strength * sum_i f_i P_i with P the mean over rows of scores normalised row by row; no gradient
  // through f [scores.n].
  double balance(const Node& scores, const std::vector<double>& f, double strength);

  void backward();

 private:
  Node make(int64_t m, int64_t n) { return std::make_shared<Matrix>(m, n); }
  void record(std::function<void()> step) { steps_.push_back(std::move(step)); }
  std::vector<std::function<void()>> steps_;
};

}  // namespace fathom::naive
