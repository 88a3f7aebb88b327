// What LSTM, GRU and RNN have in common: their attributes, as the reference and the expansion read them.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ops/common.h"

namespace rooftune::ops {

struct Activation {
  std::string name;
  float alpha = 0, beta = 0;

  template <typename T>
  T operator()(T x) const {
    const auto a = static_cast<T>(alpha), b = static_cast<T>(beta);
    switch (kind) {
      case Kind::sigmoid: return 1 / (1 + std::exp(-x));
      case Kind::tanh: return std::tanh(x);
      case Kind::relu: return std::max(x, T{0});
      case Kind::affine: return a * x + b;
      case Kind::leaky_relu: return x < 0 ? a * x : x;
      case Kind::thresholded_relu: return x >= a ? x : T{0};
      case Kind::scaled_tanh: return a * std::tanh(b * x);
      case Kind::hard_sigmoid: return std::clamp(a * x + b, T{0}, T{1});
      case Kind::elu: return x < 0 ? a * std::expm1(x) : x;
      case Kind::softsign: return x / (1 + std::fabs(x));
      default: return std::log1p(std::exp(-std::fabs(x))) + std::max(x, T{0});
    }
  }

  enum class Kind {
    sigmoid,
    tanh,
    relu,
    affine,
    leaky_relu,
    thresholded_relu,
    scaled_tanh,
    hard_sigmoid,
    elu,
    softsign,
    softplus
  } kind = Kind::tanh;
};

struct Cell {
  int gates = 1;                      // rows of W per hidden unit
  std::vector<std::string> defaults;  // activations of one direction
};
Cell cell_of(const Node& node);
/// 1, or 2 where it is bidirectional.
size_t directions_of(const Node& node);
/// Of all directions, one after the other.
std::vector<Activation> activations_of(const Node& node, const Cell& cell, size_t directions);

/// Writes a node down as products of all inputs at once and a Scan over the steps (recurrent_expand.cpp).
void expand_recurrent(ExpandContext& ctx);

}  // namespace rooftune::ops
