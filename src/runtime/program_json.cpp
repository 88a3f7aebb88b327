#include "runtime/program_json.h"

#include <array>

#include "base/error.h"

namespace rooftune::runtime {
namespace {

constexpr std::array<std::string_view, 4> kKinds{"input", "output", "constant", "temporary"};

Json phases_json(const std::vector<codegen::Phase>& phases) {
  Json list = Json::array();
  for (const codegen::Phase& p : phases) {
    list.push_back({p.symbol, p.tasks});
    for (const auto& l : p.live) list.back().push_back({l.most, l.step, l.parameter});
  }
  return list;
}

Json dims_json(const std::vector<ir::Dim>& dims) {
  Json list = Json::array();
  for (const ir::Dim& dim : dims) list.push_back(dim.to_string());
  return list;
}

Json code_json(const codegen::CodeObject& code) {
  Json kernels = Json::array();
  for (const codegen::CompiledKernel& k : code.kernels) {
    Json kernel{{"name", k.name}, {"phases", phases_json(k.phases)}};
    if (!k.prepared_buffers.empty() || !k.prepare_phases.empty()) {
      kernel["prepare_phases"] = phases_json(k.prepare_phases);
      kernel["prepared_buffers"] = k.prepared_buffers;
    }
    kernel["workspace_bytes"] = k.workspace_bytes;
    kernel["scratch_bytes"] = k.scratch_bytes;
    Json layouts = Json::array();
    for (const kernel::Layout& layout : k.layouts) layouts.push_back(layout.to_string());
    kernel["layouts"] = std::move(layouts);
    kernel["buffer_bytes"] = k.buffer_bytes;
    if (k.parameters > 0) kernel["parameters"] = k.parameters;
    kernels.push_back(std::move(kernel));
  }
  return {{"target", code.target}, {"kernels", std::move(kernels)}};
}

Json slot_json(const Slot& slot) {
  Json j{{"name", slot.name},
         {"kind", kKinds[static_cast<size_t>(slot.kind)]},
         {"dtype", ir::name(slot.dtype)},
         {"shape", slot.shape}};
  if (!slot.layout.axes().empty()) j["layout"] = slot.layout.to_string();
  if (!slot.dims.empty()) j["dims"] = dims_json(slot.dims);
  if (!slot.numbers.empty()) j["numbers"] = dims_json(slot.numbers);
  if (!slot.steps.empty()) j["steps"] = dims_json(slot.steps);
  j["bytes"] = slot.bytes;
  if (slot.dynamic) j["dynamic"] = true;
  if (slot.alias_of >= 0) j["alias_of"] = slot.alias_of;
  if (slot.part_of >= 0) j["part_of"] = slot.part_of, j["part_offset"] = slot.part_offset;
  if (slot.kind == Slot::Kind::temporary && !slot.dynamic) j["offset"] = slot.offset;
  return j;
}

Json step_json(const Step& step, const std::map<ir::NodeId, size_t>& position) {
  Json j{{"name", step.name}, {"nodes", step.nodes}};
  if (step.kind == Step::Kind::kernel) {
    j["code"] = step.code_object;
    j["kernel"] = step.kernel;
    j["slots"] = step.slots;
    if (step.workspace > 0) j["workspace"] = step.workspace;
    if (!step.parameters.empty()) j["parameters"] = dims_json(step.parameters);
  } else {
    j["node"] = position.at(step.node);
    j["inputs"] = step.inputs;
    j["outputs"] = step.outputs;
  }
  j["flops"] = step.flops;
  j["bytes"] = step.bytes;
  j["direct_flops"] = step.direct_flops;
  if (!step.dot_flops.empty()) j["dot_flops"] = step.dot_flops;
  if (!step.why.empty()) j["why"] = step.why;
  return j;
}

Json loop_json(const Loop& loop) {
  Json j{{"name", loop.name}, {"steps", {loop.first, loop.end}}, {"trips", loop.trips.to_string()}};
  j["states"] = Json::array();
  for (const Loop::State& s : loop.states) j["states"].push_back({s.initial, s.input, s.next, s.result});
  for (const auto& [key, slices] : {std::pair{"taken", &loop.taken}, std::pair{"given", &loop.given}}) {
    j[key] = Json::array();
    for (const Loop::Slice& s : *slices) j[key].push_back({s.outside, s.inside, s.reversed ? 1 : 0});
  }
  return j;
}

/// A JSON object with the place where it stands, for messages.
class Fields {
 public:
  Fields(const Json& json, std::string place) : json_(json), place_(std::move(place)) {
    if (!json.is_object()) throw InputError("{}: an object is expected", place_);
  }
  template <typename T>
  T get(const char* key) const {
    return json_field<T>(json_, key, place_);
  }
  template <typename T>
  T get(const char* key, T otherwise) const {
    return json_.contains(key) ? get<T>(key) : otherwise;
  }
  bool has(const char* key) const { return json_.contains(key); }
  /// Calls f for every entry of a list.
  template <typename F>
  void each(const char* key, F&& f) const {
    if (!has(key) || !json_[key].is_array()) fail("the list '{}' is missing", key);
    const Json& list = json_[key];
    for (size_t i = 0; i < list.size(); ++i) f(list[i], fmt::format("{}: {}[{}]", place_, key, i));
  }
  template <typename... A>
  [[noreturn]] void fail(fmt::format_string<A...> f, A&&... a) const {
    throw InputError("{}: {}", place_, fmt::format(f, std::forward<A>(a)...));
  }
  const std::string& place() const { return place_; }

 private:
  const Json& json_;
  std::string place_;
};

std::vector<codegen::Phase> parse_phases(const Fields& f, const char* key) {
  std::vector<codegen::Phase> phases;
  if (!f.has(key)) return phases;
  f.each(key, [&](const Json& j, const std::string& place) {
    const auto integers = [](const Json& l) {
      return l.is_array() && l.size() == 3 &&
             std::all_of(l.begin(), l.end(), [](const Json& v) { return v.is_number_integer(); });
    };
    if (!j.is_array() || j.size() < 2 || !j[0].is_string() || !j[1].is_number_integer() ||
        !std::all_of(j.begin() + 2, j.end(), integers))
      throw InputError("{}: [symbol, tasks, [most, step, parameter] …] is expected", place);
    phases.push_back({j[0].get<std::string>(), j[1].get<int64_t>(), {}});
    for (size_t i = 2; i < j.size(); ++i)
      phases.back().live.push_back({j[i][0].get<int64_t>(), j[i][1].get<int64_t>(), j[i][2].get<int>()});
  });
  return phases;
}

codegen::CodeObject parse_code(const Json& json, const std::string& place) {
  const Fields f(json, place);
  codegen::CodeObject code;
  code.target = f.get<std::string>("target");
  f.each("kernels", [&](const Json& j, const std::string& where) {
    const Fields k(j, where);
    codegen::CompiledKernel& kernel = code.kernels.emplace_back();
    kernel.name = k.get<std::string>("name");
    kernel.phases = parse_phases(k, "phases");
    kernel.prepare_phases = parse_phases(k, "prepare_phases");
    kernel.prepared_buffers = k.get<std::vector<int>>("prepared_buffers", {});
    kernel.workspace_bytes = k.get<size_t>("workspace_bytes");
    kernel.scratch_bytes = k.get<size_t>("scratch_bytes");
    for (const std::string& text : k.get<std::vector<std::string>>("layouts"))
      kernel.layouts.push_back(kernel::Layout::parse(text));
    kernel.buffer_bytes = k.get<std::vector<size_t>>("buffer_bytes");
    kernel.parameters = k.get<int>("parameters", 0);
  });
  return code;
}

std::vector<ir::Dim> parse_dims(const Fields& f, const char* key) {
  std::vector<ir::Dim> dims;
  for (const std::string& text : f.get<std::vector<std::string>>(key, {})) dims.push_back(ir::Dim::parse(text));
  return dims;
}

Slot parse_slot(const Fields& f) {
  Slot slot;
  slot.name = f.get<std::string>("name");
  const auto kind = f.get<std::string>("kind"), dtype = f.get<std::string>("dtype");
  const auto known = std::find(kKinds.begin(), kKinds.end(), kind);
  if (known == kKinds.end()) f.fail("'{}' is no kind of slot", kind);
  slot.kind = static_cast<Slot::Kind>(known - kKinds.begin());
  const auto parsed = ir::parse_dtype(dtype);
  if (!parsed) f.fail("'{}' is no element type", dtype);
  slot.dtype = *parsed;
  slot.shape = f.get<std::vector<int64_t>>("shape");
  slot.dims = parse_dims(f, "dims");
  slot.numbers = parse_dims(f, "numbers");
  slot.steps = parse_dims(f, "steps");
  if (f.has("layout")) slot.layout = kernel::Layout::parse(f.get<std::string>("layout"));
  slot.bytes = f.get<size_t>("bytes");
  slot.dynamic = f.get<bool>("dynamic", false);
  slot.alias_of = f.get<int>("alias_of", -1);
  slot.part_of = f.get<int>("part_of", -1);
  slot.part_offset = f.get<size_t>("part_offset", 0);
  slot.offset = f.get<size_t>("offset", 0);
  return slot;
}

Step parse_step(const Fields& f, const ir::Graph& graph) {
  Step step;
  step.name = f.get<std::string>("name");
  step.nodes = f.get<std::vector<std::string>>("nodes");
  if (f.has("node")) {
    step.kind = Step::Kind::reference;
    const auto position = f.get<size_t>("node");
    if (position >= graph.order().size()) f.fail("the graph has no node {}", position);
    step.node = graph.order()[position];
    step.inputs = f.get<std::vector<int>>("inputs");
    step.outputs = f.get<std::vector<int>>("outputs");
  } else {
    step.code_object = f.get<int>("code");
    step.kernel = f.get<int>("kernel");
    step.slots = f.get<std::vector<int>>("slots");
    step.workspace = f.get<size_t>("workspace", 0);
    step.parameters = parse_dims(f, "parameters");
  }
  step.flops = f.get<double>("flops");
  step.bytes = f.get<double>("bytes");
  step.direct_flops = f.get<double>("direct_flops");
  step.dot_flops = f.get<std::map<std::string, double>>("dot_flops", {});
  step.why = f.get<std::string>("why", "");
  return step;
}

Loop parse_loop(const Fields& f) {
  Loop loop;
  loop.name = f.get<std::string>("name");
  const auto steps = f.get<std::vector<size_t>>("steps");
  if (steps.size() != 2) f.fail("'steps' must be the first one and the one after the last");
  loop.first = steps[0];
  loop.end = steps[1];
  loop.trips = ir::Dim::parse(f.get<std::string>("trips"));
  const auto rows = [&](const char* key, size_t width) {
    auto list = f.get<std::vector<std::vector<int>>>(key);
    for (const auto& row : list)
      if (row.size() != width) f.fail("'{}' must hold lists of {} numbers", key, width);
    return list;
  };
  for (const auto& s : rows("states", 4)) loop.states.push_back({s[0], s[1], s[2], s[3]});
  for (const auto& s : rows("taken", 3)) loop.taken.push_back({s[0], s[1], s[2] != 0});
  for (const auto& s : rows("given", 3)) loop.given.push_back({s[0], s[1], s[2] != 0});
  return loop;
}

}  // namespace

Json to_json(const Program& program, const std::function<std::string(size_t slot)>& constant_name) {
  std::map<ir::NodeId, size_t> position;
  if (program.graph)
    for (size_t i = 0; i < program.graph->order().size(); ++i) position[program.graph->order()[i]] = i;
  Json j{{"inputs", program.inputs}, {"outputs", program.outputs}, {"arena_bytes", program.arena_bytes}};
  if (!program.symbols.empty()) j["symbols"] = dims_json(program.symbols), j["units"] = program.units;
  j["slots"] = Json::array();
  for (size_t s = 0; s < program.slots.size(); ++s) {
    Json slot = slot_json(program.slots[s]);
    if (program.slots[s].kind == Slot::Kind::constant && program.slots[s].alias_of < 0)
      slot["constant"] = constant_name(s);
    j["slots"].push_back(std::move(slot));
  }
  j["steps"] = Json::array();
  for (const Step& step : program.steps) j["steps"].push_back(step_json(step, position));
  if (!program.loops.empty()) j["loops"] = Json::array();
  for (const Loop& loop : program.loops) j["loops"].push_back(loop_json(loop));
  j["code"] = Json::array();
  for (const codegen::CodeObject& code : program.code) j["code"].push_back(code_json(code));
  return j;
}

Program from_json(const Json& json, std::shared_ptr<ir::Graph> graph,
                  const std::function<ir::Tensor(const Slot&, const std::string&)>& constant,
                  const std::string& source) {
  const Fields f(json, source);
  Program program;
  program.graph = std::move(graph);
  program.inputs = f.get<std::vector<int>>("inputs");
  program.outputs = f.get<std::vector<int>>("outputs");
  program.arena_bytes = f.get<size_t>("arena_bytes");
  program.symbols = parse_dims(f, "symbols");
  if (!program.symbols.empty()) program.units = f.get<std::vector<int64_t>>("units");
  f.each("slots", [&](const Json& j, const std::string& place) {
    const Fields fields(j, place);
    Slot slot = parse_slot(fields);
    if (fields.has("constant")) slot.constant = constant(slot, fields.get<std::string>("constant"));
    program.slots.push_back(std::move(slot));
  });
  f.each("steps", [&](const Json& j, const std::string& place) {
    program.steps.push_back(parse_step(Fields(j, place), *program.graph));
  });
  if (f.has("loops"))
    f.each("loops",
           [&](const Json& j, const std::string& place) { program.loops.push_back(parse_loop(Fields(j, place))); });
  f.each("code", [&](const Json& j, const std::string& place) { program.code.push_back(parse_code(j, place)); });
  return program;
}

}  // namespace rooftune::runtime
