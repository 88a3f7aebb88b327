#include "verify/compare.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "verify/inputs.h"

namespace rooftune::verify {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Sums over the elements that are finite on both sides.
struct Sums {
  double difference = 0, got = 0, expected = 0, dot = 0;

  void add(double a, double b, OutputComparison& out) {
    if (std::isfinite(a) && std::isfinite(b)) {
      const double d = a - b;
      difference += d * d;
      got += a * a;
      expected += b * b;
      dot += a * b;
      out.max_abs_error = std::max(out.max_abs_error, std::abs(d));
      out.mismatch_fraction += a != b;
    } else if (!(std::isnan(a) && std::isnan(b)) && a != b) {
      ++out.nonfinite_mismatches;
      out.mismatch_fraction += 1;
    }
  }

  void finish(OutputComparison& out) const {
    if (out.elements > 0) out.mismatch_fraction /= static_cast<double>(out.elements);
    if (expected > 0) out.relative_error = std::sqrt(difference / expected);
    else if (difference > 0) out.relative_error = kInfinity;
    if (got > 0 && expected > 0) out.cosine = std::clamp(dot / std::sqrt(got) / std::sqrt(expected), -1.0, 1.0);
    else if (got > 0 || expected > 0) out.cosine = 0;
    if (out.nonfinite_mismatches > 0) {
      out.relative_error = out.max_abs_error = kInfinity;
      out.cosine = 0;
    }
  }
};

template <typename T>
void add_all(const ir::Tensor& got, const ir::Tensor& expected, Sums& sums, OutputComparison& out) {
  const T *a = got.data<T>(), *b = expected.data<T>();
  for (int64_t i = 0; i < got.size() * (ir::bit_width(got.dtype()) / static_cast<int>(8 * sizeof(T))); ++i)
    sums.add(static_cast<double>(a[i]), static_cast<double>(b[i]), out);
}

/// Whether two integers differ; as_int cannot tell those from 2^63 on apart.
bool differ(const ir::Tensor& a, const ir::Tensor& b, int64_t i) {
  if (a.dtype() == ir::DType::u64)
    return std::memcmp(a.raw() + 8 * i, b.raw() + 8 * i, 8) != 0;  // what was mapped need not be aligned
  return a.as_int(i) != b.as_int(i);
}

std::string describe(const ir::Tensor& t) {
  return t ? fmt::format("{}[{}]", ir::name(t.dtype()), fmt::join(t.shape(), ",")) : std::string("missing");
}

OutputComparison compare_output(const std::string& name, const ir::Tensor& got, const ir::Tensor& expected) {
  OutputComparison out;
  out.name = name;
  if (got.dtype() != expected.dtype() || got.shape() != expected.shape() || !got) {
    out.problem = fmt::format("{} instead of {}", describe(got), describe(expected));
    out.relative_error = kInfinity;
    out.mismatch_fraction = 1;
    return out;
  }
  using ir::DType;
  out.elements = got.size();
  if (got.dtype() == DType::string) {
    out.exact = true;
    for (size_t i = 0; i < got.strings().size(); ++i)
      out.mismatch_fraction += got.strings()[i] != expected.strings()[i];
    if (out.elements > 0) out.mismatch_fraction /= static_cast<double>(out.elements);
    return out;
  }
  Sums sums;
  switch (got.dtype()) {
    case DType::f32:
    case DType::c64: add_all<float>(got, expected, sums, out); break;
    case DType::f64:
    case DType::c128: add_all<double>(got, expected, sums, out); break;
    default:
      out.exact = !ir::is_float(got.dtype());
      for (int64_t i = 0; i < got.size(); ++i) {
        if (out.exact && differ(got, expected, i) && got.as_double(i) == expected.as_double(i))
          out.mismatch_fraction += 1;  // 64-bit integers that differ beyond what a double holds
        sums.add(got.as_double(i), expected.as_double(i), out);
      }
  }
  if (got.dtype() == DType::c64 || got.dtype() == DType::c128)
    out.mismatch_fraction = std::min(out.mismatch_fraction, double(out.elements));
  sums.finish(out);
  return out;
}

}  // namespace

Tolerance default_tolerance(const ir::Graph& graph) {
  const bool quantises = std::any_of(graph.order().begin(), graph.order().end(), [&](ir::NodeId id) {
    const std::string& op = graph.node(id).op;
    return op == "QuantizeLinear" || op == "DynamicQuantizeLinear" || op.starts_with("QLinear");
  });
  const bool narrow = std::any_of(graph.order().begin(), graph.order().end(), [&](ir::NodeId id) {
    const ir::Node& node = graph.node(id);
    return node.op == "DequantizeLinear" && graph.constant(node.inputs[0]) != nullptr;
  });
  return quantises ? Tolerance{0.5, 0.5} : narrow ? Tolerance{1e-3, 0} : Tolerance{};
}

bool OutputComparison::agrees(const Tolerance& tolerance) const {
  if (!problem.empty()) return false;
  return exact ? mismatch_fraction <= tolerance.mismatch_fraction : relative_error <= tolerance.relative;
}

double Comparison::max_rel_error() const {
  double worst = 0;
  for (const OutputComparison& o : outputs)
    if (!o.exact) worst = std::max(worst, o.relative_error);
  return worst;
}

bool Comparison::agrees(const Tolerance& tolerance) const {
  return std::all_of(outputs.begin(), outputs.end(), [&](const OutputComparison& o) { return o.agrees(tolerance); });
}

std::string Comparison::why_not(const Tolerance& tolerance) const {
  std::string text;
  for (const OutputComparison& o : outputs) {
    if (o.agrees(tolerance)) continue;
    if (!text.empty()) text += "; ";
    text += fmt::format("output '{}': ", o.name);
    if (!o.problem.empty()) text += o.problem;
    else if (o.nonfinite_mismatches > 0)
      text += fmt::format("{} of {} elements are NaN or infinite on one side only", o.nonfinite_mismatches, o.elements);
    else if (o.exact)
      text += fmt::format("{:.3g} of its elements differ ({:.3g} is allowed)", o.mismatch_fraction,
                          tolerance.mismatch_fraction);
    else text += fmt::format("relative error {:.2e} ({:.0e} is allowed)", o.relative_error, tolerance.relative);
  }
  return text;
}

Comparison compare(const std::vector<std::string>& names, const std::vector<ir::Tensor>& got,
                   const std::vector<ir::Tensor>& expected) {
  RT_CHECK(names.size() == got.size() && got.size() == expected.size(), "{} names, {} and {} outputs", names.size(),
           got.size(), expected.size());
  Comparison comparison;
  for (size_t i = 0; i < names.size(); ++i) comparison.outputs.push_back(compare_output(names[i], got[i], expected[i]));
  return comparison;
}

Comparison worse(const Comparison& a, const Comparison& b) {
  RT_CHECK(a.outputs.size() == b.outputs.size());
  Comparison result = a;
  for (size_t i = 0; i < b.outputs.size(); ++i) {
    OutputComparison& r = result.outputs[i];
    const OutputComparison& o = b.outputs[i];
    if (r.problem.empty()) r.problem = o.problem;
    r.elements = std::max(r.elements, o.elements);
    r.relative_error = std::max(r.relative_error, o.relative_error);
    r.max_abs_error = std::max(r.max_abs_error, o.max_abs_error);
    r.cosine = std::min(r.cosine, o.cosine);
    r.nonfinite_mismatches = std::max(r.nonfinite_mismatches, o.nonfinite_mismatches);
    r.mismatch_fraction = std::max(r.mismatch_fraction, o.mismatch_fraction);
  }
  return result;
}

Json to_json(const Comparison& comparison) {
  const auto number = [](double v) { return std::isfinite(v) ? Json(v) : Json("inf"); };
  Json outputs = Json::array();
  for (const OutputComparison& o : comparison.outputs) {
    Json j{{"name", o.name}, {"elements", o.elements}};
    if (!o.problem.empty()) j["problem"] = o.problem;
    if (o.exact) {
      j["mismatch_fraction"] = o.mismatch_fraction;
    } else {
      j["rel_error"] = number(o.relative_error);
      j["max_abs_error"] = number(o.max_abs_error);
      j["cosine"] = o.cosine;
      if (o.nonfinite_mismatches > 0) j["nonfinite_mismatches"] = o.nonfinite_mismatches;
    }
    outputs.push_back(std::move(j));
  }
  return {{"max_rel_error", number(comparison.max_rel_error())}, {"outputs", std::move(outputs)}};
}

std::vector<std::string> output_names(const ir::Graph& graph) {
  std::vector<std::string> names;
  for (const ir::ValueId v : graph.outputs) names.push_back(graph.value(v).name);
  return names;
}

Comparison check(const ir::Graph& graph, const Runner& candidate, const Runner& golden, const CheckOptions& options) {
  RT_CHECK(options.rounds >= 1);
  InputGenerator generator(graph, options.seed);
  Comparison worst;
  for (int round = 0; round < options.rounds; ++round) {
    const std::vector<ir::Tensor> inputs = generator.next();
    const Comparison now = compare(output_names(graph), candidate(inputs), golden(inputs));
    worst = round == 0 ? now : worse(worst, now);
  }
  return worst;
}

}  // namespace rooftune::verify
