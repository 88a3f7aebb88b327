// Runs graphs by the operator catalogue's references, and single nodes by their lowering, interpreted and compiled, for
// the property tests under tests/ops, which compare the references with onnxruntime and the others with the references.
//
//   run_reference FOLDER…     each holds graph.txt (ir text form) and inputs.safetensors (by input name)
//
// Writes FOLDER/outputs.safetensors: "reference.<i>" and, where every node has a lowering, "lowered.<i>" (interpreted) and
// "compiled.<i>" (every other case by a random schedule, else by the analytical one); metadata
// "error" (an InputError or a disagreement of shape inference) or "rejected" (why a lowering declined). Input dims may
// be symbolic in graph.txt: inference is then checked against the shapes that came out.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>

#include "ir/safetensors.h"
#include "kernel/algorithms.h"
#include "kernel/interpreter.h"
#include "kernel/space.h"
#include "ops/half.h"
#include "tests/support/kernel_runner.h"

namespace rooftune {
namespace {

using ir::Tensor;

std::string read_text(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw EnvironmentError("cannot read {}", path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Compares the types inferred from symbolic inputs with the tensors of a run.
void check_inference(const ir::Graph& graph, const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs) {
  std::map<std::string, ir::Dim> symbols;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ir::Type& type = graph.type(graph.inputs[i]);
    for (size_t d = 0; type.is_tensor() && d < type.shape().size(); ++d) {
      const ir::Dim& dim = type.shape()[d];
      if (!dim.is_static()) symbols.emplace(dim.to_string(), inputs[i].shape()[d]);
    }
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const ir::Type& type = graph.type(graph.outputs[i]);
    if (type.dtype() != outputs[i].dtype())
      throw InputError("output {} was inferred as {}, it is {}", i, type.to_string(), ir::name(outputs[i].dtype()));
    if (!type.has_rank()) continue;
    bool same = type.rank() == outputs[i].rank();
    for (size_t d = 0; same && d < type.shape().size(); ++d) {
      const ir::Dim dim = type.shape()[d].substitute(symbols);
      same = !dim.is_static() || dim.value() == outputs[i].shape()[d];
    }
    if (!same)
      throw InputError("output {} was inferred as {}, it is {}", i, type.to_string(),
                       ir::to_string(ir::to_shape(outputs[i].shape())));
  }
}

/// The outputs of the kernel's compiled code, by the analytical schedule or a random one.
std::vector<Tensor> compile_and_run(const kernel::Kernel& lowered, std::vector<Tensor> tensors, std::mt19937* random) {
  const codegen::CpuTarget target = testing::host_target();
  static const std::unique_ptr<codegen::Codegen> codegen = codegen::cpu_codegen(target);
  kernel::Machine machine;
  machine.lanes = target.vector_bits / 32;
  machine.registers = target.vector_registers;
  machine.threads = 2;
  const auto kernel = kernel::algorithms().front().rewrite(lowered, machine);
  RT_CHECK(kernel.has_value(), "{} has no direct form", lowered.name);
  kernel::Point point;
  if (random != nullptr) {
    for (const auto& d : kernel::decisions(*kernel, machine)) point[d.name] = d.values[(*random)() % d.values.size()];
  }
  const kernel::Schedule schedule = kernel::make_schedule(*kernel, machine, point);
  const std::string illegal = kernel::why_illegal(*kernel, schedule);
  if (!illegal.empty())
    throw InternalError("the schedule is illegal: {}\n{}{}", illegal, print(*kernel), print(*kernel, schedule));
  tensors.resize(kernel->buffers.size());
  testing::KernelRunner runner(*codegen, *kernel, schedule, tensors);
  runner.run();
  return runner.outputs();
}

struct Results {
  std::vector<Tensor> interpreted, compiled;
};

/// Lowers all nodes into one kernel and runs it; the reason where a node has no lowering or declines.
std::string lower_and_run(const ir::Graph& graph, const std::vector<Tensor>& inputs, std::mt19937* random,
                          Results& outputs) {
  kernel::Kernel k;
  k.name = graph.name;
  std::map<ir::ValueId, int> buffers = {{ir::kNone, -1}};
  std::vector<Tensor> tensors;
  auto add = [&](ir::ValueId v, const Tensor& t, kernel::Role role) {
    if (t.dtype() == ir::DType::string) return;
    buffers[v] = k.add_buffer(graph.value(v).name, t.dtype(), t.shape(), role);
    tensors.push_back(t);
  };
  for (size_t i = 0; i < inputs.size(); ++i) add(graph.inputs[i], inputs[i], kernel::Role::input);
  for (size_t v = 0; v < graph.value_capacity(); ++v) {
    const auto id = static_cast<ir::ValueId>(v);
    if (const Tensor* t = graph.constant(id)) add(id, *t, kernel::Role::constant);
  }
  for (ir::NodeId n : graph.order()) {
    const ir::Node& node = graph.node(n);
    const ops::OpDef& def = ops::Catalogue::instance().at(node);
    if (!def.lower) return node.op + " has no lowering";
    std::vector<int> from;
    for (ir::ValueId v : node.inputs) {
      if (!buffers.count(v)) return "a value has no buffer";
      from.push_back(buffers.at(v));
    }
    const ops::LoweredNode lowered = ops::lower_node(graph, node, k, from);
    if (!lowered.rejection.empty()) return lowered.rejection;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ir::ValueId v = node.outputs[i];
      if (v == ir::kNone) continue;
      const int buffer = lowered.outputs.at(i);
      buffers[v] = graph.is_output(v) ? ops::rounded(k, buffer, graph.type(v).dtype()) : buffer;
    }
  }
  std::vector<int> wanted;
  for (ir::ValueId v : graph.outputs) {
    if (!buffers.count(v)) return "an output has no buffer";
    const int buffer = buffers.at(v);
    if (k.buffers[static_cast<size_t>(buffer)].role != kernel::Role::temporary) return "an output is an input";
    k.buffers[static_cast<size_t>(buffer)].role = kernel::Role::output;
    wanted.push_back(buffer);
  }
  tensors.resize(k.buffers.size());
  kernel::verify(k);
  const std::vector<Tensor> interpreted = kernel::interpret(k, tensors), compiled = compile_and_run(k, tensors, random);
  for (int buffer : wanted) {
    size_t position = 0;
    for (int b = 0; b < buffer; ++b) position += k.buffers[static_cast<size_t>(b)].role == kernel::Role::output ? 1 : 0;
    outputs.interpreted.push_back(interpreted.at(position));
    outputs.compiled.push_back(compiled.at(position));
  }
  return "";
}

ir::Safetensors run_case(const std::string& folder, std::mt19937* random) {
  const std::string text = read_text(folder + "/graph.txt");
  const ir::Safetensors given = ir::read_safetensors(folder + "/inputs.safetensors");
  ir::Safetensors result;
  try {
    ir::Graph graph = ir::parse(text), symbolic = ir::parse(text);
    std::vector<Tensor> inputs;
    for (ir::ValueId v : graph.inputs) {
      const Tensor& t = given.tensors.at(graph.value(v).name);
      graph.value(v).type = ir::Type::tensor(t.dtype(), ir::to_shape(t.shape()));
      inputs.push_back(t);
    }
    ops::infer_types(symbolic);
    ops::infer_types(graph);
    const std::vector<Tensor> outputs = ops::evaluate(graph, inputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].dtype() != ir::DType::string) result.tensors[fmt::format("reference.{}", i)] = outputs[i];
      else result.metadata[fmt::format("strings.{}", i)] = fmt::format("{}", fmt::join(outputs[i].strings(), "\n"));
    }
    check_inference(symbolic, inputs, outputs);
    check_inference(graph, inputs, outputs);
    Results lowered;
    const std::string rejected = lower_and_run(graph, inputs, random, lowered);
    if (!rejected.empty()) result.metadata["rejected"] = rejected;
    for (size_t i = 0; i < lowered.interpreted.size(); ++i) {
      result.tensors[fmt::format("lowered.{}", i)] = lowered.interpreted[i];
      result.tensors[fmt::format("compiled.{}", i)] = lowered.compiled[i];
    }
  } catch (const Error& e) {
    result.metadata["error"] = e.what();
  }
  return result;
}

}  // namespace
}  // namespace rooftune

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string folder = argv[i];
    std::mt19937 random(static_cast<unsigned>(i));
    try {
      rooftune::ir::write_safetensors(folder + "/outputs.safetensors",
                                      rooftune::run_case(folder, i % 2 == 0 ? &random : nullptr));
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s: %s\n", folder.c_str(), e.what());
      return 1;
    }
  }
  return 0;
}
