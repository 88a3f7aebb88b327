#include "tune/workload.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernel/algorithms.h"
#include "kernel/analysis.h"
#include "kernel/unify.h"
#include "ops/loop_borders.h"
#include "passes/layout.h"
#include "passes/loops.h"
#include "passes/partition.h"

namespace rooftune::tune {
namespace {

/// Values that reference groups touch stay row-major: references know no other layout.
void keep_row_major(const ir::Group& group, passes::Layouts& layouts) {
  for (ir::ValueId v : group.inputs) layouts.erase(v);
  for (ir::ValueId v : group.outputs) layouts.erase(v);
}

}  // namespace

namespace {

/// A graph at one size, cut into groups.
struct Cut {
  ir::Graph graph;
  ir::Partition partition;
  std::map<std::string, passes::GroupKind> kinds;  // by name of the group
  passes::Layouts layouts;
  std::map<std::string, std::vector<std::string>> unfused;
};

/// What a loop copies, and what its iterations read from outside, is row-major: slices are bytes that stand together, and
/// no iteration converts anew what the others converted.
void keep_loop_borders_row_major(const ir::Graph& graph, passes::Layouts& layouts) {
  for (const auto& loop : ops::flat_loops(graph)) {
    const std::set<ir::NodeId> inside(loop.nodes.begin(), loop.nodes.end());
    for (ir::NodeId id : loop.nodes)
      for (ir::ValueId v : ir::used_values(graph.node(id)))
        if (id == loop.end || !inside.contains(graph.value(v).producer)) layouts.erase(v);
    for (ir::NodeId id : {loop.begin, loop.end})
      for (ir::ValueId v : graph.node(id).outputs) layouts.erase(v);
  }
}

/// `alone`: no other size of the model must be cut alike.
Cut cut(ir::Graph optimised, const kernel::Machine& machine, bool fuse, const passes::MultipliesAsItIs& as_it_is,
        bool alone) {
  Cut result;
  if (fuse) passes::flatten_loops(optimised);
  passes::PartitionOptions options;
  options.fuse = fuse;
  if (alone) options.cache = machine.l2;
  auto parts = passes::partition(optimised, options);
  if (fuse) passes::insert_widenings(optimised, parts, as_it_is);
  result.partition = std::move(parts.partition);
  for (size_t g = 0; g < parts.info.size(); ++g) {  // by name: conversions that come in shift the groups
    const std::string& name = result.partition.groups[g].name;
    result.kinds[name] = parts.info[g].kind;
    if (!parts.info[g].reasons.empty()) result.unfused[name] = std::move(parts.info[g].reasons);
  }
  if (fuse) {
    result.layouts = passes::choose_layouts(optimised, result.partition, machine.lanes, machine.tiles);
    keep_loop_borders_row_major(optimised, result.layouts);
    passes::insert_conversions(optimised, result.partition, result.layouts);
  }
  result.graph = std::move(optimised);
  return result;
}

bool same_start(const ir::Tensor& whole, const ir::Tensor& part) {
  if (whole.dtype() != part.dtype() || whole.rank() != part.rank()) return false;
  for (int d = 0; d < whole.rank(); ++d)
    if (part.dim(d) > whole.dim(d)) return false;
  if (whole.dtype() == ir::DType::string || ir::bit_width(whole.dtype()) < 8) return ir::same_content(whole, part);
  const size_t element = ir::byte_size(whole.dtype(), 1);
  std::vector<int64_t> at(static_cast<size_t>(whole.rank()), 0);
  for (int64_t i = 0; i < part.size(); ++i) {
    int64_t offset = 0;
    for (size_t d = 0; d < at.size(); ++d) offset = offset * whole.dim(static_cast<int>(d)) + at[d];
    if (std::memcmp(whole.raw() + static_cast<size_t>(offset) * element, part.raw() + static_cast<size_t>(i) * element,
                    element) != 0)
      return false;
    for (size_t d = at.size(); d-- > 0;) {
      if (++at[d] < part.dim(static_cast<int>(d))) break;
      at[d] = 0;
    }
  }
  return true;
}

/// One model at several sizes, the largest first: which values correspond, and what depends on the size.
class Twins {
 public:
  Twins(const std::vector<Cut>& cuts, const Sizes& sizes) : cuts_(cuts), sizes_(sizes), of_(cuts.size()) {
    for (size_t t = 1; t < cuts.size(); ++t) match(t);
  }

  /// The group's kernel for all sizes; its `why` where there is none.
  std::optional<passes::LoweredGroup> lower(size_t g, const passes::Layouts* layouts, std::string& why) const {
    static const passes::Layouts row_major;
    auto lower_at = [&](size_t t) {
      return passes::lower_group(cuts_[t].graph, cuts_[t].partition.groups[g],
                                 layouts == nullptr ? row_major : layouts[t], why);
    };
    auto lowered = lower_at(0);
    if (!lowered || cuts_.size() == 1) return lowered;
    std::vector<passes::LoweredGroup> others;
    std::vector<const kernel::Kernel*> kernels;
    for (size_t t = 1; t < cuts_.size(); ++t) {
      auto other = lower_at(t);
      if (!other) return std::nullopt;
      others.push_back(std::move(*other));
    }
    for (const auto& other : others) kernels.push_back(&other.kernel);
    why = kernel::unify(lowered->kernel, kernels, [&](const auto& values) { return sizes_.solve(values); });
    for (size_t t = 1; t < cuts_.size() && why.empty(); ++t)
      for (size_t b = 0; b < lowered->values.size() && why.empty(); ++b) {
        const auto* mine = cuts_[0].graph.constant(lowered->values[b]);
        const auto* twin = cuts_[t].graph.constant(others[t - 1].values[b]);
        if (mine != nullptr && twin != nullptr && !same_constant(*mine, *twin))
          why = fmt::format("constant '{}' depends on the size", cuts_[0].graph.value(lowered->values[b]).name);
      }
    if (!why.empty()) return std::nullopt;
    return lowered;
  }

  /// What the constants of a group that runs by its references have to do with the size. InputError where that is not
  /// understood.
  void study_reference(size_t g, const std::string& why, Workload& work) const {
    for (size_t i = 0; i < cuts_[0].partition.groups[g].nodes.size(); ++i) {
      const auto& node = node_of(0, g, i);
      const auto read = ir::used_values(node);
      for (size_t t = 1; t < cuts_.size(); ++t)
        if (const auto what = difference(node, node_of(t, g, i)); !what.empty())
          throw InputError("{}: its {} depends on the size of the model: give the dimensions as numbers", node.label(),
                           what);
      for (size_t k = 0; k < read.size(); ++k) {
        std::vector<ir::ValueId> values = {read[k]};
        for (size_t t = 1; t < cuts_.size(); ++t) values.push_back(ir::used_values(node_of(t, g, i)).at(k));
        if (study_value(values, work)) continue;
        throw InputError(
            "{}: its constant '{}' depends on the size of the model, and it has no kernel for all sizes ({}): give the "
            "dimensions as numbers",
            node.label(), cuts_[0].graph.value(read[k]).name, why);
      }
    }
  }

  /// The same for constants that are outputs of the model.
  void study_outputs(Workload& work) const {
    for (size_t o = 0; o < cuts_[0].graph.outputs.size(); ++o) {
      std::vector<ir::ValueId> values;
      for (const auto& c : cuts_) values.push_back(c.graph.outputs[o]);
      if (!study_value(values, work))
        throw InputError(
            "output '{}' is a constant that depends on the size of the model: give the dimensions as numbers",
            cuts_[0].graph.value(values[0]).name);
    }
  }

  /// The values of all sizes that correspond to one of the largest.
  std::vector<ir::ValueId> counterparts(ir::ValueId v) const {
    std::vector<ir::ValueId> values = {v};
    for (size_t t = 1; t < cuts_.size(); ++t) values.push_back(of_[t].at(v));
    return values;
  }

  /// Shapes of the values that depend on the size.
  std::map<ir::ValueId, ir::Shape> dims() const {
    std::map<ir::ValueId, ir::Shape> result;
    if (cuts_.size() == 1) return result;
    for (const auto& [v, twin] : of_[1]) {
      const auto& type = cuts_[0].graph.type(v);
      if (!type.is_static()) continue;
      ir::Shape shape;
      for (size_t d = 0; d < type.shape().size(); ++d) {
        std::vector<int64_t> extents = {type.shape()[d].value()};
        for (size_t t = 1; t < cuts_.size(); ++t) {
          const auto& other = cuts_[t].graph.type(of_[t].at(v));
          extents.push_back(other.is_static() && other.shape().size() > d ? other.shape()[d].value() : -1);
        }
        const auto dim = sizes_.solve(extents);
        if (!dim || dim->max() > type.shape()[d].value())
          throw InputError(
              "'{}': its dimension {} is {} at several sizes of the model, which follows from none of {}: "
              "give the dimensions as numbers",
              cuts_[0].graph.value(v).name, d, fmt::join(extents, ", "), names());
        shape.push_back(*dim);
      }
      if (!ir::is_static(shape)) result[v] = std::move(shape);
    }
    return result;
  }

 private:
  const ir::Node& node_of(size_t t, size_t g, size_t i) const {
    return cuts_[t].graph.node(cuts_[t].partition.groups[g].nodes[i]);
  }

  /// Which attribute differs, or "body"; empty where none does.
  static std::string difference(const ir::Node& a, const ir::Node& b) {
    const auto mine = ir::bodies(a), twin = ir::bodies(b);
    if (mine.size() != twin.size()) return "body";
    for (size_t i = 0; i < mine.size(); ++i)
      if (ir::print(*mine[i]) != ir::print(*twin[i])) return "body";
    for (const auto& [key, value] : a.attributes) {
      const auto other = b.attributes.find(key);
      if (other == b.attributes.end() || other->second.index() != value.index()) return "attribute " + key;
      const bool same = std::visit(
          [&](const auto& x) {
            using T = std::remove_cvref_t<decltype(x)>;
            if constexpr (std::is_same_v<T, ir::Tensor>) return ir::same_content(x, std::get<T>(other->second));
            else if constexpr (std::is_same_v<T, std::vector<ir::Tensor>> ||
                               std::is_same_v<T, std::shared_ptr<ir::Graph>> ||
                               std::is_same_v<T, std::vector<std::shared_ptr<ir::Graph>>>)
              return true;  // bodies were compared above; nothing has lists of tensors that a pass makes
            else return x == std::get<T>(other->second);
          },
          value);
      if (!same) return "attribute " + key;
    }
    return "";
  }

  /// Whether a value of the largest size and its counterparts are understood: no constants, or ones that agree.
  bool study_value(const std::vector<ir::ValueId>& values, Workload& work) const {
    std::vector<const ir::Tensor*> all;
    for (size_t t = 0; t < cuts_.size(); ++t)
      all.push_back(values[t] == ir::kNone ? nullptr : cuts_[t].graph.constant(values[t]));
    if (std::all_of(all.begin(), all.end(), [](const auto* c) { return c == nullptr; })) return true;
    return all[0] != nullptr && study_constant(values[0], all, work);
  }

  /// An expression for each column of numbers, given in rows of equal length by size; extents are largest in the first.
  std::optional<std::vector<ir::Dim>> solve_all(const std::vector<std::vector<int64_t>>& rows,
                                                bool extents = true) const {
    std::vector<ir::Dim> result;
    for (size_t d = 0; d < rows[0].size(); ++d) {
      std::vector<int64_t> column;
      for (const auto& row : rows) {
        if (row.size() != rows[0].size()) return std::nullopt;
        column.push_back(row[d]);
      }
      const auto dim = sizes_.solve(column);
      if (!dim || (extents && dim->max() > column[0])) return std::nullopt;
      result.push_back(*dim);
    }
    return result;
  }

  bool study_constant(ir::ValueId v, const std::vector<const ir::Tensor*>& all, Workload& work) const {
    constexpr int64_t kMostNumbers = 64;
    const ir::Tensor& mine = *all[0];
    bool same = true, starts = true;
    for (const ir::Tensor* twin : all) {
      if (twin == nullptr || twin->dtype() != mine.dtype() || twin->rank() != mine.rank()) return false;
      same = same && (twin == &mine || twin->storage() == mine.storage() || ir::same_content(mine, *twin));
      starts = starts && (twin->shape() == mine.shape() ? ir::same_content(mine, *twin)
                                                        : same_start(mine, *twin) || same_start(*twin, mine));
    }
    if (same) return true;
    std::vector<std::vector<int64_t>> rows;
    for (const ir::Tensor* twin : all) rows.push_back(twin->shape());
    const auto dims = solve_all(rows);
    if (!dims) return false;
    if (!ir::is_static(*dims)) work.dims[v] = *dims;
    if (starts) return true;
    if (mine.dtype() != ir::DType::i64) return false;
    rows.clear();
    if (ir::is_static(*dims) && mine.size() <= kMostNumbers) {
      for (const ir::Tensor* twin : all) rows.push_back(twin->as_ints());
      if (auto numbers = solve_all(rows, false)) return work.numbers[v] = *numbers, true;
      return false;
    }
    for (const ir::Tensor* twin : all) {
      const auto steps = steps_of(*twin);
      if (!steps) return false;
      rows.push_back(*steps);
    }
    if (auto steps = solve_all(rows, false)) return work.steps[v] = *steps, true;
    return false;
  }

  /// The first element of a tensor of integers and the steps along its dims, where those make all of it.
  static std::optional<std::vector<int64_t>> steps_of(const ir::Tensor& t) {
    if (t.size() == 0) return std::nullopt;
    const auto* data = t.data<int64_t>();
    std::vector<int64_t> result(static_cast<size_t>(t.rank()) + 1, 0);
    result[0] = data[0];
    int64_t stride = 1;
    for (int d = t.rank(); d-- > 0; stride *= t.dim(d))
      if (t.dim(d) > 1) result[static_cast<size_t>(d) + 1] = data[stride] - data[0];
    for (int64_t i = 0; i < t.size(); ++i) {
      int64_t expected = result[0], rest = i;
      for (int d = t.rank(); d-- > 0; rest /= t.dim(d))
        expected += rest % t.dim(d) * result[static_cast<size_t>(d) + 1];
      if (data[i] != expected) return std::nullopt;
    }
    return result;
  }

  std::string names() const {
    std::vector<std::string> list;
    for (const auto& s : sizes_.symbols) list.push_back(s.symbols()[0]);
    return fmt::format("{}", fmt::join(list, ", "));
  }

  static bool same_constant(const ir::Tensor& mine, const ir::Tensor& twin) {
    return mine.shape() == twin.shape() ? mine.storage() == twin.storage() || ir::same_content(mine, twin)
                                        : same_start(mine, twin) || same_start(twin, mine);
  }

  template <typename... A>
  [[noreturn]] void differs(fmt::format_string<A...> what, A&&... a) const {
    throw InputError("the model is another at other sizes of {}: {}; give the dimensions as numbers", names(),
                     fmt::format(what, std::forward<A>(a)...));
  }

  void match(size_t t) {
    const Cut &mine = cuts_[0], &twin = cuts_[t];
    auto& of = of_[t];
    for (size_t i = 0; i < mine.graph.inputs.size(); ++i) of[mine.graph.inputs[i]] = twin.graph.inputs[i];
    if (mine.partition.groups.size() != twin.partition.groups.size())
      differs("it falls into {} kernels or {}", mine.partition.groups.size(), twin.partition.groups.size());
    for (size_t g = 0; g < mine.partition.groups.size(); ++g) {
      const auto &a = mine.partition.groups[g], &b = twin.partition.groups[g];
      if (a.nodes.size() != b.nodes.size() || a.inputs.size() != b.inputs.size() ||
          a.outputs.size() != b.outputs.size())
        differs("kernel '{}' has {} or {} nodes", a.name, a.nodes.size(), b.nodes.size());
      for (size_t i = 0; i < a.nodes.size(); ++i) {
        const auto &x = mine.graph.node(a.nodes[i]), &y = twin.graph.node(b.nodes[i]);
        if (x.op != y.op || x.inputs.size() != y.inputs.size() || x.outputs.size() != y.outputs.size())
          differs("{} becomes {}", x.label(), y.label());
        for (size_t k = 0; k < x.outputs.size(); ++k)
          if (x.outputs[k] != ir::kNone) of[x.outputs[k]] = y.outputs[k];
      }
    }
  }

  const std::vector<Cut>& cuts_;
  const Sizes& sizes_;
  std::vector<std::map<ir::ValueId, ir::ValueId>> of_;  // by twin: its value for each of the largest
};

}  // namespace

Workload make_workload(ir::Graph optimised, const kernel::Machine& machine, bool fuse,
                       const passes::MultipliesAsItIs& as_it_is) {
  std::vector<ir::Graph> graphs;
  graphs.push_back(std::move(optimised));
  return make_workload(std::move(graphs), Sizes{{}, {{}}, {}, {}}, machine, fuse, as_it_is);
}

Workload make_workload(std::vector<ir::Graph> optimised, const Sizes& sizes, const kernel::Machine& machine, bool fuse,
                       const passes::MultipliesAsItIs& asked) {
  const auto as_it_is = asked ? asked : passes::MultipliesAsItIs([](ir::DType) { return false; });
  RT_CHECK(optimised.size() == sizes.at.size());
  Workload work;
  work.given = std::make_shared<const ir::Graph>(optimised[0].clone());
  std::vector<Cut> cuts;
  const bool alone = optimised.size() == 1;
  for (auto& graph : optimised) cuts.push_back(cut(std::move(graph), machine, fuse, as_it_is, alone));
  const Twins twins(cuts, sizes);
  const auto& groups = cuts[0].partition.groups;
  const size_t n = groups.size();
  work.symbols = sizes.symbols;
  work.units = sizes.units;
  work.dims = twins.dims();
  work.unfused = std::move(cuts[0].unfused);
  work.task_of_group.assign(n, -1);
  work.why_reference.assign(n, "");
  work.values_of_group.resize(n);
  twins.study_outputs(work);
  // First without looking at layouts: which groups have a lowering decides what must stay row-major.
  std::vector<passes::Layouts> layouts;
  for (const auto& c : cuts) layouts.push_back(c.layouts);
  const auto is_border = [&](size_t g) {
    const auto& node = cuts[0].graph.node(groups[g].nodes.front());
    return ops::is_loop_begin(node) || ops::is_loop_end(node);
  };
  for (size_t g = 0; g < n; ++g) {
    std::string why;
    if (is_border(g)) {
      twins.study_reference(g, "a loop copies it", work);
      for (ir::ValueId v : groups[g].inputs)
        if (work.numbers.contains(v) || work.steps.contains(v))
          throw InputError(
              "constant '{}' depends on the size of the model, and a loop copies it: give the dimensions as numbers",
              cuts[0].graph.value(v).name);
      continue;
    }
    if (twins.lower(g, nullptr, why)) continue;
    twins.study_reference(g, why, work);
    work.why_reference[g] = why;
    for (size_t t = 0; t < cuts.size(); ++t) keep_row_major(cuts[t].partition.groups[g], layouts[t]);
  }
  if (fuse) {
    passes::Partitioned parts{cuts[0].partition, std::vector<passes::GroupInfo>(n)};
    std::vector<bool> has_kernel(n);
    for (size_t g = 0; g < n; ++g) {
      parts.info[g].kind = cuts[0].kinds[groups[g].name];
      has_kernel[g] = work.why_reference[g].empty() && !is_border(g);
    }
    for (ir::ValueId v : passes::values_stored_wide(cuts[0].graph, parts, has_kernel, as_it_is)) {
      const auto twin = twins.counterparts(v);
      for (size_t t = 0; t < cuts.size(); ++t) {
        auto& type = cuts[t].graph.value(twin[t]).type;
        type = ir::Type::tensor(ir::DType::f32, type.shape());
      }
    }
  }
  std::map<uint64_t, size_t> task_of_key;
  double runs = 1;
  for (size_t g = 0; g < n; ++g) {
    if (is_border(g)) {
      const auto& node = cuts[0].graph.node(groups[g].nodes.front());
      runs = ops::is_loop_end(node) ? 1 : static_cast<double>(ops::trips(cuts[0].graph, node).value());
    }
    work.runs_of_group.push_back(runs);
    if (!work.why_reference[g].empty() || is_border(g)) continue;
    std::string why;
    auto lowered = twins.lower(g, layouts.data(), why);
    if (!lowered)
      throw InputError(
          "kernel '{}' is stored in ways that depend on the size of the model ({}): give the dimensions as "
          "numbers",
          groups[g].name, why);
    work.values_of_group[g] = lowered->values;
    const uint64_t key = kernel::hash(lowered->kernel);
    const auto [found, fresh] = task_of_key.try_emplace(key, work.tasks.size());
    if (fresh) {
      Task task;
      task.name = groups[g].name;
      task.key = key;
      const auto cost = kernel::cost(lowered->kernel);
      task.direct_flops = cost.operations;
      task.bytes = cost.compulsory_bytes;
      for (const auto& algorithm : kernel::algorithms())
        if (auto rewritten =
                fuse || algorithm.name == "direct" ? algorithm.rewrite(lowered->kernel, machine) : std::nullopt)
          task.variants.push_back({algorithm.name, std::move(*rewritten)});
      work.tasks.push_back(std::move(task));
    }
    work.tasks[found->second].groups.push_back(g);
    work.tasks[found->second].runs += runs;
    work.task_of_group[g] = static_cast<int>(found->second);
  }
  work.partition = std::move(cuts[0].partition);
  work.layouts = std::move(layouts[0]);
  work.graph = std::make_shared<const ir::Graph>(std::move(cuts[0].graph));
  return work;
}

namespace {

/// A rough time that only has to order a task's algorithms: operations near the peak, weights from memory.
double rough_seconds(const kernel::Kernel& k, const kernel::Machine& machine) {
  constexpr double kClock = 3.3e9, kBandwidth = 25e9;
  const double operations = 2.0 * machine.fmas * machine.lanes * machine.threads * kClock;
  double weights = 0;
  for (const auto& stage : k.stages)
    for (const auto& node : stage.nodes)
      if (kernel::is_contraction(stage) && node.op == kernel::Op::load) {
        const auto& buffer = k.buffers[static_cast<size_t>(node.buffer)];
        const int writer = k.stage_of(node.buffer);
        if (buffer.role == kernel::Role::constant ||
            (writer >= 0 && kernel::reads_only_constants(k, k.stages[static_cast<size_t>(writer)])))
          weights += static_cast<double>(ir::byte_size(buffer.dtype, static_cast<size_t>(buffer.layout.size())));
      }
  double work = kernel::cost(k).operations;
  for (const auto& [precision, done] : kernel::dot_operations(k))
    work -= done * (machine.tiles ? 0.9 : precision == "bf16" ? 0.5 : 0.75);
  return work / operations + weights / kBandwidth;
}

}  // namespace

size_t weight_bytes(const Workload& workload) {
  size_t total = 0;
  for (size_t v = 0; v < workload.graph->value_capacity(); ++v)
    if (const auto* t = workload.graph->constant(static_cast<ir::ValueId>(v));
        t != nullptr && t->dtype() == ir::DType::f32)
      total += t->bytes();
  return total;
}

Choice first_choice(const Task& task, const kernel::Machine& machine) {
  // What rounds much more coarsely is for tuning to try: this is also what is left where a program was found not to be right.
  constexpr double kCoarse = 10;
  size_t best = 0;
  for (size_t v = 1; v < task.variants.size(); ++v)
    if (task.variants[v].kernel.error_class < kCoarse * task.variants[0].kernel.error_class &&
        rough_seconds(task.variants[v].kernel, machine) < rough_seconds(task.variants[best].kernel, machine))
      best = v;
  return {best, kernel::make_schedule(task.variants[best].kernel, machine)};
}

}  // namespace rooftune::tune
