// sort as TopK of all elements, by the first key last where there are several; chlo.top_k.
#include "frontends/stablehlo/importer.h"
#include "frontends/stablehlo/lowering.h"

namespace rooftune::frontends::stablehlo {
namespace {

using ir::DType;
using ir::ValueId;

/// Values and places (i64) of the first `k` along the last or any other axis; earlier ones first among equals.
std::pair<ValueId, ValueId> top(Lowering& l, ValueId x, DType dtype, int64_t axis, int64_t k, bool largest) {
  const bool boolean = dtype == DType::boolean;
  if (boolean) x = l.cast(x, DType::i32);
  const auto out =
      l.emit_many("TopK", {x, l.list({k})}, 2, {{"axis", axis}, {"largest", int64_t{largest}}, {"sorted", int64_t{1}}});
  return {boolean ? l.cast(out[0], DType::boolean) : out[0], out[1]};
}

struct Key {
  size_t operand;
  bool descending;
};

/// The keys that a comparator compares, most significant first; empty where it is another kind of function.
std::vector<Key> keys(Lowering& l) {
  const std::vector<std::string> f = formulas(l, l.op().regions[0]);
  if (f.size() != 1) return {};
  std::vector<Key> out;
  std::string rest = f[0];
  for (;;) {
    bool found = false;
    for (size_t i = 0; i < l.count() && !found; ++i) {
      const std::string pair = fmt::format("(a{},a{})", 2 * i, 2 * i + 1);
      for (const char* direction : {"LT", "GT"}) {
        const std::string first = direction + pair, more = fmt::format("or({},and(EQ{},", first, pair);
        if (rest == first) {
          out.push_back({i, direction[0] == 'G'});
          return out;
        }
        if (!rest.starts_with(more) || !rest.ends_with("))")) continue;
        out.push_back({i, direction[0] == 'G'});
        rest = rest.substr(more.size(), rest.size() - more.size() - 2);
        found = true;
        break;
      }
    }
    if (!found) return {};
  }
}

void sort(Lowering& l) {
  if (l.count() == 0 || l.op().regions.size() != 1) l.fail("expected operands and a comparator");
  if (l.op().result_types.size() != l.count()) l.fail("expected as many results as operands");
  for (size_t i = 1; i < l.count(); ++i)
    if (!(l.type(i).shape() == l.type(0).shape())) l.fail("expected operands of one shape");
  if (l.rank(0) == 0) l.fail("expected operands of rank 1 or more");
  const int64_t axis = l.integer({"dimension"}, l.rank(0) - 1);
  l.check_axes({axis < 0 ? axis + l.rank(0) : axis}, l.rank(0), "dimension");
  const int64_t n = l.shape(0)[static_cast<size_t>(axis < 0 ? axis + l.rank(0) : axis)];
  const std::vector<Key> by = keys(l);
  if (by.empty())
    l.fail(
        "its comparator is not one that is supported: LT or GT of the two elements of an operand, or several such "
        "keys, one after the other");
  std::vector<ValueId> values;
  for (size_t i = 0; i < l.count(); ++i) values.push_back(l.id(i));
  for (size_t k = by.size(); k-- > 0;) {  // each sort is stable, so the most significant key comes last
    const size_t key = by[k].operand;
    const auto [sorted, places] = top(l, values[key], l.dtype(key), axis, n, by[k].descending);
    for (size_t i = 0; i < l.count(); ++i)
      values[i] = i == key ? sorted : l.emit("GatherElements", {values[i], places}, {{"axis", axis}});
  }
  for (size_t i = 0; i < l.count(); ++i) l.set(values[i], i);
}

void top_k(Lowering& l) {
  l.require_operands(1);
  if (l.op().result_types.size() != 2 || l.rank(0) == 0) l.fail("expected a tensor of rank 1 or more and two results");
  int64_t k = -1;
  if (const mlir::Attribute* a = l.find({"composite_attributes", "mhlo.attributes"})) {
    if (const auto it = a->fields.find("k"); it != a->fields.end()) k = l.to_int(it->second, "k");
  } else {
    k = l.integer({"k"});
  }
  const ir::Dim n = l.type(0).shape().back();
  if (k < 0 || (n.is_static() && k > n.value())) l.fail(fmt::format("k = {} of {}", k, mlir::text_of(l.type(0))));
  const auto [values, places] = top(l, l.id(0), l.dtype(0), l.rank(0) - 1, k, true);
  l.set(values, 0);
  l.set(l.cast(places, l.result(1).dtype()), 1);
}

}  // namespace

void add_sorting(Table& table) {
  table["sort"] = sort;
  table["chlo.top_k"] = top_k;
}

}  // namespace rooftune::frontends::stablehlo
