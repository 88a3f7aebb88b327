#include <cstring>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "capi/handles.h"
#include "hardware/host.h"
#include "plugins/plugins.h"

namespace rooftune::capi {
namespace {

Json describe(const runtime::Program& program) {
  const auto specs = [&](const std::vector<int>& slots) {
    Json list = Json::array();
    for (int s : slots) {
      const runtime::Slot& slot = program.slots[static_cast<size_t>(s)];
      const bool unknown_rank = slot.dynamic && slot.shape.empty();
      auto shape = slot.shape;
      for (size_t d = 0; d < slot.dims.size(); ++d)
        if (!slot.dims[d].is_static()) shape[d] = -1;
      Json one{{"name", slot.name}, {"dtype", ir::name(slot.dtype)}, {"shape", unknown_rank ? Json() : Json(shape)}};
      for (const auto& dim : slot.dims) one["dims"].push_back(dim.to_string());
      list.push_back(std::move(one));
    }
    return list;
  };
  std::set<std::string> targets;
  for (const codegen::CodeObject& code : program.code) targets.insert(code.target);
  return {{"inputs", specs(program.inputs)},
          {"outputs", specs(program.outputs)},
          {"steps", program.steps.size()},
          {"arena_bytes", program.arena_bytes},
          {"targets", targets}};
}

std::vector<ir::Tensor> gather(const rt_tensor* const* tensors, int count, const char* what) {
  if (count < 0) throw InputError("a count of {}", count);
  if (count > 0) require(tensors, what);
  std::vector<ir::Tensor> list;
  for (int i = 0; i < count; ++i) list.push_back(tensors[i] ? tensors[i]->tensor : ir::Tensor());
  return list;
}

std::string describe(const ir::Tensor& tensor) {
  return fmt::format("{}[{}]", ir::name(tensor.dtype()), fmt::join(tensor.shape(), ","));
}

/// A result whose shape was found by running is a tensor of its own: it goes into the one that the caller gave.
void copy_into(ir::Tensor& given, const ir::Tensor& made, const std::string& name) {
  if (given.dtype() != made.dtype() || given.shape() != made.shape())
    throw InputError("output '{}' is {}: this run gives {}; give none and one is made", name, describe(given),
                     describe(made));
  if (made.dtype() == ir::DType::string) given.strings() = made.strings();
  else if (given.bytes() > 0) std::memmove(given.raw(), made.raw(), given.bytes());
}

}  // namespace
}  // namespace rooftune::capi

using namespace rooftune::capi;  // NOLINT: this file is the door
namespace rt = rooftune::runtime;

extern "C" {

rt_status rt_plugin_load(const char* path) {
  return guarded([&] {
    require(path, "path");
    rooftune::plugins::load(path);
  });
}

rt_status rt_executable_load(const char* path, rt_executable** executable) {
  return guarded([&] {
    require(path, "path");
    require(executable, "executable");
    rooftune::plugins::load_from_environment();
    auto handle = std::make_unique<rt_executable>();
    handle->executable = std::make_shared<rt::Executable>(rt::load(path));
    handle->description =
        describe(handle->executable->program()).dump(-1, ' ', false, rooftune::Json::error_handler_t::replace);
    *executable = handle.release();
  });
}

const char* rt_executable_describe(const rt_executable* executable) { return executable->description.c_str(); }
void rt_executable_free(rt_executable* executable) { delete executable; }

rt_status rt_context_create(const rt_executable* executable, int threads, int pin, rt_context** context) {
  return guarded([&] {
    require(executable, "executable");
    require(context, "context");
    const int count = threads == 0 ? rooftune::hardware::detect_host().available_cpus : threads;
    auto handle = std::make_unique<rt_context>();
    handle->executable = executable->executable;
    handle->context = handle->executable->make_context(count, pin != 0);
    *context = handle.release();
  });
}

int rt_context_threads(const rt_context* context) { return context->context->threads(); }
void rt_context_free(rt_context* context) { delete context; }

rt_status rt_run(rt_context* context, const rt_tensor* const* inputs, int input_count, rt_tensor** outputs,
                 int output_count) {
  return guarded([&] {
    require(context, "context");
    std::vector<rooftune::ir::Tensor> results = gather(outputs, output_count, "outputs");
    const auto& program = context->executable->program();
    if (results.size() != program.outputs.size())
      throw rooftune::InputError("room for {} outputs was given, the model has {}", results.size(),
                                 program.outputs.size());
    context->executable->run(*context->context, gather(inputs, input_count, "inputs"), results);
    std::vector<std::unique_ptr<rt_tensor>> made(results.size());
    for (size_t i = 0; i < results.size(); ++i)
      if (!outputs[i]) made[i].reset(new rt_tensor{results[i]});
      else if (const auto& slot = program.slots[static_cast<size_t>(program.outputs[i])]; slot.dynamic)
        copy_into(outputs[i]->tensor, results[i], slot.name);
    for (size_t i = 0; i < results.size(); ++i)
      if (!outputs[i]) outputs[i] = made[i].release();
  });
}

rt_status rt_profile(rt_context* context, const rt_tensor* const* inputs, int input_count, char** json) {
  return guarded([&] {
    require(context, "context");
    require(json, "json");
    std::vector<rooftune::ir::Tensor> results;
    const auto times = context->executable->profile(*context->context, gather(inputs, input_count, "inputs"), results);
    rooftune::Json steps = rooftune::Json::array();
    double total = 0;
    for (size_t i = 0; i < times.size(); ++i) {
      const rt::Step& step = context->executable->program().steps[i];
      steps.push_back({{"name", step.name},
                       {"nodes", step.nodes},
                       {"milliseconds", times[i].milliseconds},
                       {"flops", step.flops},
                       {"bytes", step.bytes}});
      total += times[i].milliseconds;
    }
    const rooftune::Json document{{"steps", std::move(steps)}, {"total_ms", total}};
    *json = copy_string(document.dump(-1, ' ', false, rooftune::Json::error_handler_t::replace));
  });
}
}
