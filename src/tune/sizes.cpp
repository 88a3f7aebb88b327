#include "tune/sizes.h"

#include <algorithm>

#include "base/error.h"

namespace rooftune::tune {
namespace {

int64_t value_at(const ir::Dim& dim, const Size& size) {
  const ir::Dim value = dim.substitute(size);
  RT_CHECK(value.is_static(), "'{}' has no value at this size", dim.to_string());
  return value.value();
}

/// Whether two expressions have the same value at many of the sizes that are taken.
bool agree(const ir::Dim& a, const ir::Dim& b, const Sizes& of) {
  constexpr int64_t kMostSamples = 4096;
  const auto count = [&](size_t s) { return (of.symbols[s].max() - of.symbols[s].min()) / of.units[s] + 1; };
  int64_t samples = 1;
  for (size_t s = 0; s < of.symbols.size(); ++s) samples = std::max(samples, count(s));
  for (int64_t i = 0; i < std::min(samples, kMostSamples); ++i) {
    Size size;
    for (size_t s = 0; s < of.symbols.size(); ++s)
      size[of.symbols[s].symbols()[0]] =
          of.symbols[s].max() - i * (1 + 2 * static_cast<int64_t>(s)) % count(s) * of.units[s];
    if (value_at(a, size) != value_at(b, size)) return false;
  }
  return true;
}

/// factor · (the product of `symbols`) for one factor at all sizes.
std::optional<ir::Dim> multiple_of(const std::vector<ir::Dim>& symbols, const std::vector<Size>& at,
                                   const std::vector<int64_t>& values) {
  int64_t factor = 0;
  for (size_t i = 0; i < at.size(); ++i) {
    int64_t product = 1;
    for (const auto& s : symbols) product *= value_at(s, at[i]);
    if (product == 0 || values[i] % product != 0) return std::nullopt;
    if (i > 0 && values[i] / product != factor) return std::nullopt;
    factor = values[i] / product;
  }
  ir::Dim result(factor);
  for (const auto& s : symbols) result = result * s;
  return result;
}

/// factor · symbol + offset.
std::optional<ir::Dim> linear_in(const ir::Dim& symbol, const std::vector<Size>& at,
                                 const std::vector<int64_t>& values) {
  const int64_t run = value_at(symbol, at[0]) - value_at(symbol, at[1]);
  if (run == 0 || (values[0] - values[1]) % run != 0) return std::nullopt;
  const int64_t factor = (values[0] - values[1]) / run;
  const int64_t offset = values[0] - factor * value_at(symbol, at[0]);
  for (size_t i = 0; i < at.size(); ++i)
    if (factor * value_at(symbol, at[i]) + offset != values[i]) return std::nullopt;
  return symbol * factor + ir::Dim(offset);
}

std::vector<ir::Dim> free_symbols(const ir::Graph& graph) {
  std::vector<ir::Dim> symbols;
  for (ir::ValueId v : graph.inputs) {
    if (!graph.type(v).is_tensor() || !graph.type(v).has_rank()) continue;
    for (const auto& dim : graph.type(v).shape())
      if (dim.symbols().size() == 1 && dim == ir::Dim::symbol(dim.symbols()[0], dim.min(), dim.max()) &&
          std::find(symbols.begin(), symbols.end(), dim) == symbols.end())
        symbols.push_back(dim);
  }
  return symbols;
}

std::vector<ir::Dim> known_dims(const ir::Graph& graph, const std::vector<ir::Dim>& symbols) {
  std::vector<ir::Dim> known;
  auto is_free = [&](const std::string& name) {
    return std::any_of(symbols.begin(), symbols.end(), [&](const ir::Dim& s) { return s.symbols()[0] == name; });
  };
  for (size_t v = 0; v < graph.value_capacity(); ++v) {
    const auto id = static_cast<ir::ValueId>(v);
    if (!graph.value_alive(id) || !graph.type(id).is_tensor() || !graph.type(id).has_rank()) continue;
    for (const auto& dim : graph.type(id).shape()) {
      const auto used = dim.symbols();
      if (!dim.is_static() && std::all_of(used.begin(), used.end(), is_free) &&
          std::find(known.begin(), known.end(), dim) == known.end())
        known.push_back(dim);
    }
  }
  return known;
}

}  // namespace

/// A known expression and an offset (the last of so many), or two of them multiplied (how many pixels a mean is taken of).
std::optional<ir::Dim> Sizes::made_of_known(const std::vector<int64_t>& values) const {
  std::vector<std::vector<int64_t>> rows;  // by expression, at each size
  for (const auto& dim : known) {
    rows.emplace_back();
    for (const auto& size : at) rows.back().push_back(value_at(dim, size));
  }
  std::vector<ir::Dim> found;
  for (size_t a = 0; a < known.size(); ++a) {
    bool offset = true;
    for (size_t i = 1; i < at.size() && offset; ++i) offset = values[i] - rows[a][i] == values[0] - rows[a][0];
    if (offset) found.push_back(known[a] + ir::Dim(values[0] - rows[a][0]));
    for (size_t b = a; b < known.size(); ++b) {
      bool product = true;
      for (size_t i = 0; i < at.size() && product; ++i) product = rows[a][i] * rows[b][i] == values[i];
      if (product) found.push_back(known[a] * known[b]);
    }
  }
  for (size_t i = 1; i < found.size(); ++i)
    if (!agree(found[0], found[i], *this)) return std::nullopt;
  return found.empty() ? std::nullopt : std::optional(found[0]);
}

std::optional<ir::Dim> Sizes::solve(const std::vector<int64_t>& values) const {
  RT_CHECK(values.size() == at.size());
  if (std::all_of(values.begin(), values.end(), [&](int64_t v) { return v == values[0]; })) return ir::Dim(values[0]);
  std::optional<ir::Dim> found;
  for (const auto& dim : known) {
    bool fits = true;
    for (size_t i = 0; i < at.size(); ++i) fits = fits && value_at(dim, at[i]) == values[i];
    if (!fits) continue;
    if (found && !agree(*found, dim, *this)) return std::nullopt;  // these sizes cannot tell which it is
    if (!found) found = dim;
  }
  if (found) return found;
  if (auto made = made_of_known(values)) return made;
  for (size_t subset = 1; subset < size_t{1} << std::min<size_t>(symbols.size(), 8); ++subset) {
    std::vector<ir::Dim> chosen;
    for (size_t s = 0; s < symbols.size(); ++s)
      if ((subset >> s & 1) != 0) chosen.push_back(symbols[s]);
    if (auto dim = multiple_of(chosen, at, values)) return dim;
  }
  for (const auto& symbol : symbols)
    if (auto dim = linear_in(symbol, at, values)) return dim;
  return std::nullopt;
}

namespace {

/// Values of a symbol for the twins: two close to the largest, two far from it. `index`: of the symbol among the free ones;
/// symbols go different ways, so that expressions of them do not coincide, not even when they were halved a few times. All are at least 2, since a one is special (it
/// broadcasts, and what it multiplies vanishes); where the bounds hold too few, sizes above them are taken.
std::vector<int64_t> twin_values(const ir::Dim& symbol, int64_t index, int64_t unit) {
  const int64_t hi = symbol.max(), lo = std::max<int64_t>(2, symbol.min());
  const auto back = [&](double share) { return static_cast<int64_t>(share * static_cast<double>(hi - lo)) / unit; };
  std::vector<int64_t> values;
  int64_t above = hi;
  const double shift = 0.13 * static_cast<double>(index % 3);
  for (const int64_t steps : {index + 1, 3 + 2 * index, back(0.45 - shift) + index, back(0.85 - shift) - 2 * index}) {
    const int64_t below = hi - std::max<int64_t>(steps, 1) * unit;
    const bool taken = std::find(values.begin(), values.end(), below) != values.end();
    if (below >= lo && !taken) values.push_back(below);
    else values.push_back(above += (index + 1) * unit);
  }
  return values;
}

}  // namespace

Sizes sizes_of(const ir::Graph& graph, const std::map<std::string, int64_t>& units) {
  Sizes sizes;
  sizes.symbols = free_symbols(graph);
  sizes.known = known_dims(graph, sizes.symbols);
  if (sizes.symbols.empty()) {
    sizes.at.emplace_back();
    return sizes;
  }
  if (std::any_of(sizes.symbols.begin(), sizes.symbols.end(), [](const ir::Dim& s) { return s.max() < 2; }))
    throw InputError("a dimension that is at most 1 is not free: give it as 1");
  sizes.at.resize(5);
  for (size_t s = 0; s < sizes.symbols.size(); ++s) {
    const std::string name = sizes.symbols[s].symbols()[0];
    const auto unit = units.find(name);
    sizes.units.push_back(unit == units.end() ? 1 : unit->second);
    sizes.at[0].emplace(name, sizes.symbols[s].max());
    const auto values = twin_values(sizes.symbols[s], static_cast<int64_t>(s), sizes.units.back());
    for (size_t t = 0; t < values.size(); ++t) sizes.at[t + 1].emplace(name, values[t]);
  }
  return sizes;
}

}  // namespace rooftune::tune
