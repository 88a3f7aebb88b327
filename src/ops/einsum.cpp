// Einsum: operands are contracted pairwise from the left, each pair as one batched matrix product.
#include "ops/cells.h"
#include "ops/common.h"
#include "ops/dense.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "ops/shapes.h"
#include "ops/stages.h"

namespace rooftune::ops {
namespace {

constexpr DTypeSet kEinsumTypes = kFloats | set_of({DType::i32, DType::i64});

/// Labels are letters; those that an ellipsis stands for are numbered from the right, 1 being the last.
using Labels = std::vector<int>;

struct Equation {
  std::vector<Labels> inputs;
  Labels output;
};

/// Labels of one term; `ellipsis`: how many dims "..." stands for.
Labels term_labels(const Node& node, std::string_view term, size_t ellipsis) {
  Labels labels;
  for (size_t i = 0; i < term.size(); ++i) {
    if (term.substr(i, 3) == "...") {
      for (size_t e = ellipsis; e > 0; --e) labels.push_back(static_cast<int>(e));
      i += 2;
    } else if (std::isalpha(static_cast<unsigned char>(term[i]))) {
      labels.push_back(term[i]);
    } else {
      fail(node, fmt::format("equation has '{}', labels are letters and ...", term[i]));
    }
  }
  return labels;
}

Equation parse_equation(const Node& node, const std::vector<size_t>& ranks) {
  std::string text;
  for (char c : node.attr_string("equation", "")) {
    if (c != ' ') text += c;
  }
  const size_t arrow = text.find("->");
  const std::string left = text.substr(0, arrow);
  std::vector<std::string> terms(1);
  for (char c : left) {
    if (c == ',') terms.emplace_back();
    else terms.back() += c;
  }
  if (terms.size() != ranks.size())
    fail(node, fmt::format("equation '{}' has {} terms, the node {} inputs", text, terms.size(), ranks.size()));
  Equation e;
  std::map<int, int> uses;
  size_t widest = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    const size_t letters = term_labels(node, terms[i], 0).size();
    const bool dots = terms[i].find("...") != std::string::npos;
    if (dots ? letters > ranks[i] : letters != ranks[i])
      fail(node, fmt::format("term '{}' does not fit input {} of rank {}", terms[i], i, ranks[i]));
    e.inputs.push_back(term_labels(node, terms[i], ranks[i] - letters));
    widest = std::max(widest, ranks[i] - letters);
    for (int l : e.inputs.back()) ++uses[l];
  }
  if (arrow != std::string::npos) {
    e.output = term_labels(node, text.substr(arrow + 2), widest);
    for (size_t i = 0; i < e.output.size(); ++i) {
      if (!uses.count(e.output[i])) fail(node, fmt::format("equation '{}': an output label stands in no term", text));
      if (std::find(e.output.begin(), e.output.begin() + static_cast<int64_t>(i), e.output[i]) !=
          e.output.begin() + static_cast<int64_t>(i))
        fail(node, fmt::format("equation '{}': an output label stands twice", text));
    }
    return e;
  }
  for (size_t d = widest; d > 0; --d) e.output.push_back(static_cast<int>(d));
  for (const auto& [label, count] : uses) {
    if (label >= 'A' && count == 1) e.output.push_back(label);
  }
  return e;
}

void infer_einsum(InferContext& ctx) {
  const DType dtype = require_same(ctx, 0, ctx.input_count() - 1, kEinsumTypes);
  std::vector<size_t> ranks;
  for (int i = 0; i < ctx.input_count(); ++i) {
    if (!ctx.has_shape(i)) return ctx.set_output(0, Type::tensor(dtype));
    ranks.push_back(ctx.shape(i).size());
  }
  const Equation e = parse_equation(ctx.node(), ranks);
  std::map<int, Dim> extents;
  for (size_t i = 0; i < e.inputs.size(); ++i) {
    for (size_t d = 0; d < e.inputs[i].size(); ++d) {
      const Dim& dim = ctx.shape(static_cast<int>(i))[d];
      const auto [it, fresh] = extents.emplace(e.inputs[i][d], dim);
      if (!fresh) it->second = broadcast(ctx.node(), it->second, dim);
    }
  }
  Shape shape;
  for (int l : e.output) shape.push_back(extents.at(l));
  ctx.set_output(0, dtype, std::move(shape));
}

Equation static_equation(const Node& node, const std::vector<std::vector<int64_t>>& shapes,
                         std::map<int, int64_t>& extents) {
  std::vector<size_t> ranks;
  for (const auto& s : shapes) ranks.push_back(s.size());
  Equation e = parse_equation(node, ranks);
  for (size_t i = 0; i < shapes.size(); ++i) {
    for (size_t d = 0; d < shapes[i].size(); ++d) {
      int64_t& extent = extents.emplace(e.inputs[i][d], 1).first->second;
      if (extent == 1) extent = shapes[i][d];
      else if (shapes[i][d] != 1 && shapes[i][d] != extent)
        fail(node, fmt::format("a label has the extents {} and {}", extent, shapes[i][d]));
    }
  }
  return e;
}

/// Of the pairwise contractions, from static shapes.
Cost cost_einsum(const CostContext& ctx) {
  std::vector<std::vector<int64_t>> shapes;
  for (size_t i = 0; i < ctx.node.inputs.size(); ++i)
    shapes.push_back(ir::static_values(ctx.input(static_cast<int>(i)).shape()));
  std::map<int, int64_t> extents;
  const Equation e = static_equation(ctx.node, shapes, extents);
  double flops = 0;
  std::set<int> live(e.inputs[0].begin(), e.inputs[0].end());
  for (size_t i = 1; i < e.inputs.size(); ++i) {
    live.insert(e.inputs[i].begin(), e.inputs[i].end());
    double points = 2;
    for (int l : live) points *= static_cast<double>(extents.at(l));
    flops += points;
    std::set<int> needed(e.output.begin(), e.output.end());
    for (size_t j = i + 1; j < e.inputs.size(); ++j) needed.insert(e.inputs[j].begin(), e.inputs[j].end());
    std::erase_if(live, [&](int l) { return !needed.count(l); });
  }
  if (e.inputs.size() == 1) flops = static_cast<double>(elements(ctx.input(0)));
  return {flops, bytes_touched(ctx)};
}

/// A dense operand with one label per axis.
template <typename T>
struct Term {
  Labels labels;
  std::vector<int64_t> shape;
  std::vector<T> values;
};

/// The term with its axes in the order of `labels` (all of the term's, or with extent 1 where it lacks one).
template <typename T>
Term<T> permuted(const Term<T>& term, const Labels& labels) {
  const std::vector<int64_t> from = row_major_strides(term.shape);
  Term<T> out{labels, {}, std::vector<T>(term.values.size())};
  std::vector<int64_t> strides;
  for (int l : labels) {
    const auto at = std::find(term.labels.begin(), term.labels.end(), l) - term.labels.begin();
    const bool has = at < static_cast<int64_t>(term.labels.size());
    out.shape.push_back(has ? term.shape[static_cast<size_t>(at)] : 1);
    strides.push_back(has ? from[static_cast<size_t>(at)] : 0);
  }
  copy_strided(reinterpret_cast<const uint8_t*>(term.values.data()), sizeof(T),
               reinterpret_cast<uint8_t*>(out.values.data()), out.shape, strides);
  return out;
}

/// The term summed over the labels that are not in `needed`.
template <typename T>
Term<T> summed(const Term<T>& term, const std::set<int>& needed) {
  Labels kept, gone;
  for (int l : term.labels) (needed.count(l) ? kept : gone).push_back(l);
  if (gone.empty()) return term;
  Labels order = kept;
  order.insert(order.end(), gone.begin(), gone.end());
  const Term<T> all = permuted(term, order);
  Term<T> out{kept, {all.shape.begin(), all.shape.begin() + static_cast<int64_t>(kept.size())}, {}};
  out.values.assign(static_cast<size_t>(product(out.shape)), T{0});
  const size_t run = out.values.empty() ? 1 : all.values.size() / out.values.size();
  for (size_t i = 0; i < all.values.size(); ++i) out.values[i / run] += all.values[i];
  return out;
}

/// An input as a term: diagonals taken, axes of extent 1 that broadcast dropped.
template <typename T>
Term<T> to_term(const Tensor& x, const Labels& labels, const std::map<int, int64_t>& extents) {
  const std::vector<int64_t> from = row_major_strides(x.shape());
  Term<T> term;
  std::vector<int64_t> strides;
  for (size_t d = 0; d < labels.size(); ++d) {
    if (x.shape()[d] == 1) continue;
    const auto at = std::find(term.labels.begin(), term.labels.end(), labels[d]) - term.labels.begin();
    if (at < static_cast<int64_t>(term.labels.size())) {
      strides[static_cast<size_t>(at)] += from[d];
      continue;
    }
    term.labels.push_back(labels[d]);
    term.shape.push_back(extents.at(labels[d]));
    strides.push_back(from[d]);
  }
  term.values.resize(static_cast<size_t>(product(term.shape)));
  if (!term.values.empty())
    copy_strided(x.raw(), sizeof(T), reinterpret_cast<uint8_t*>(term.values.data()), term.shape, strides);
  return term;
}

/// Contracts two terms over the labels that are not in `needed`.
template <typename T>
Term<T> contracted(const Term<T>& a, const Term<T>& b, const std::set<int>& needed) {
  auto in = [](const Term<T>& t, int l) { return std::find(t.labels.begin(), t.labels.end(), l) != t.labels.end(); };
  Labels batch, left, right, inner;
  for (int l : a.labels) (!in(b, l) ? left : needed.count(l) ? batch : inner).push_back(l);
  for (int l : b.labels) {
    if (!in(a, l)) right.push_back(l);
  }
  auto join = [](std::initializer_list<Labels> lists) {
    Labels all;
    for (const Labels& l : lists) all.insert(all.end(), l.begin(), l.end());
    return all;
  };
  const Term<T> x = permuted(a, join({batch, left, inner})), y = permuted(b, join({batch, inner, right}));
  auto extent = [](const Term<T>& t, size_t first, size_t count) { return product({t.shape.data() + first, count}); };
  const int64_t batches = extent(x, 0, batch.size()), m = extent(x, batch.size(), left.size());
  const int64_t k = extent(x, batch.size() + left.size(), inner.size()),
                n = extent(y, batch.size() + inner.size(), right.size());
  Term<T> out{join({batch, left, right}),
              {x.shape.begin(), x.shape.begin() + static_cast<int64_t>(batch.size() + left.size())},
              {}};
  out.shape.insert(out.shape.end(), y.shape.end() - static_cast<int64_t>(right.size()), y.shape.end());
  out.values.resize(static_cast<size_t>(batches * m * n));
  using W = Modular<T>;
  for (int64_t i = 0; i < batches; ++i) {
    matrix_product<W>(m, n, k, {reinterpret_cast<const W*>(x.values.data()) + i * m * k, k},
                      {reinterpret_cast<const W*>(y.values.data()) + i * k * n, n},
                      reinterpret_cast<W*>(out.values.data()) + i * m * n, n);
  }
  return out;
}

template <typename T>
Tensor einsum(const EvalContext& ctx, const Equation& e, const std::map<int, int64_t>& extents) {
  const auto count = static_cast<int>(e.inputs.size());
  std::vector<Term<T>> terms;
  for (int i = 0; i < count; ++i) terms.push_back(to_term<T>(ctx.input(i), e.inputs[static_cast<size_t>(i)], extents));
  // A label is summed as soon as neither the output nor another term has it.
  auto needed = [&](int first, int except) {
    std::set<int> labels(e.output.begin(), e.output.end());
    for (int i = first; i < count; ++i) {
      const Labels& l = terms[static_cast<size_t>(i)].labels;
      if (i != except) labels.insert(l.begin(), l.end());
    }
    return labels;
  };
  for (int i = 0; i < count; ++i) terms[static_cast<size_t>(i)] = summed(terms[static_cast<size_t>(i)], needed(0, i));
  Term<T> total = std::move(terms[0]);
  for (int i = 1; i < count; ++i)
    total = summed(contracted(total, terms[static_cast<size_t>(i)], needed(i + 1, -1)), needed(i + 1, -1));
  const Term<T> y = permuted(total, e.output);
  std::vector<int64_t> shape, strides = row_major_strides(y.shape);
  for (size_t d = 0; d < e.output.size(); ++d) {
    shape.push_back(extents.at(e.output[d]));
    if (y.shape[d] == 1) strides[d] = 0;  // a label that every input broadcasts
  }
  Tensor out(ctx.input(0).dtype(), shape);
  if (out.size() > 0)
    copy_strided(reinterpret_cast<const uint8_t*>(y.values.data()), sizeof(T), out.raw(), shape, strides);
  return out;
}

void evaluate_einsum(EvalContext& ctx) {
  std::vector<std::vector<int64_t>> shapes;
  for (int i = 0; i < ctx.input_count(); ++i) shapes.push_back(ctx.input(i).shape());
  std::map<int, int64_t> extents;
  const Equation e = static_equation(ctx.node(), shapes, extents);
  dispatch<float, double, int32_t, int64_t>(ctx.node(), ctx.input(0).dtype(), [&](auto tag) {
    ctx.set_output(0, einsum<typename decltype(tag)::type>(ctx, e, extents));
  });
}

void lower_einsum(LowerContext& ctx) {
  const size_t count = ctx.node().inputs.size();
  if (count > 2) return ctx.reject("lower: Einsum of more than two operands is not supported");
  if (!can_lower_inputs(ctx, {0, 1})) return;
  std::vector<std::vector<int64_t>> shapes;
  for (size_t i = 0; i < count; ++i) shapes.push_back(ctx.shape(static_cast<int>(i)));
  std::map<int, int64_t> extents;
  const Equation e = static_equation(ctx.node(), shapes, extents);
  std::map<int, int> axis_of;
  std::vector<kernel::Axis> outer, inner;
  auto name = [](int label) {
    return label >= 'A' ? std::string(1, static_cast<char>(label)) : fmt::format("e{}", label);
  };
  for (int l : e.output) {
    axis_of.emplace(l, static_cast<int>(outer.size()));
    outer.push_back({name(l), extents.at(l)});
  }
  for (const auto& [label, extent] : extents) {
    if (!axis_of.emplace(label, static_cast<int>(outer.size() + inner.size())).second) continue;
    inner.push_back({name(label), extent});
  }
  StageBuilder stage(ctx.kernel(), stage_name(ctx.kernel(), "einsum"), outer, inner);
  int value = -1;
  for (size_t i = 0; i < count; ++i) {
    std::vector<Index> at;
    for (size_t d = 0; d < e.inputs[i].size(); ++d)
      at.push_back(shapes[i][d] == 1 ? Index(0) : stage.axis(axis_of.at(e.inputs[i][d])));
    const int x = stage.load(ctx.input(static_cast<int>(i)), at);
    value = value < 0 ? x : stage.mul(value, x);
  }
  ctx.set_output(0, stage.finish(value, inner.empty() ? kernel::Reduction::none : kernel::Reduction::sum));
}

}  // namespace

void register_einsum(Catalogue& catalogue) {
  catalogue.add({.name = "Einsum",
                 .since_version = 12,
                 .min_inputs = 1,
                 .max_inputs = -1,
                 .pattern = Pattern::contraction,
                 .infer = infer_einsum,
                 .cost = cost_einsum,
                 .evaluate = widened(evaluate_einsum),
                 .lower = lower_einsum});
}

}  // namespace rooftune::ops
