// rt_backend → codegen::Codegen.
#include "base/json.h"
#include "plugins/define.h"
#include "plugins/node.h"

namespace rooftune::plugins {
namespace {

std::vector<codegen::Phase> phases(const Json& kernel, const char* key, const std::string& place) {
  std::vector<codegen::Phase> list;
  if (!kernel.contains(key)) return list;
  for (const auto& [symbol, tasks] : json_field<std::vector<std::pair<std::string, int64_t>>>(kernel, key, place))
    list.push_back({symbol, tasks});
  return list;
}

template <typename T>
T optional_field(const Json& kernel, const char* key, T otherwise, const std::string& place) {
  return kernel.contains(key) ? json_field<T>(kernel, key, place) : otherwise;
}

/// What the code says it needs for one kernel. InputError naming the field that is not as it should be.
codegen::CompiledKernel parse(const Json& json, const kernel::Kernel& kernel, const std::string& place) {
  codegen::CompiledKernel compiled;
  compiled.name = kernel.name;
  compiled.phases = phases(json, "phases", place);
  compiled.prepare_phases = phases(json, "prepare_phases", place);
  compiled.prepared_buffers = optional_field<std::vector<int>>(json, "prepared_buffers", {}, place);
  compiled.workspace_bytes = optional_field<size_t>(json, "workspace_bytes", 0, place);
  compiled.scratch_bytes = optional_field<size_t>(json, "scratch_bytes", 0, place);
  for (int b : compiled.prepared_buffers)
    if (b < 0 || static_cast<size_t>(b) >= kernel.buffers.size() ||
        kernel.buffers[static_cast<size_t>(b)].role != kernel::Role::temporary)
      throw InputError("{}: prepared_buffers: {} is no temporary", place, b);
  for (const auto& buffer : kernel.buffers)
    compiled.layouts.push_back(buffer.layout.axes().empty() ? kernel::Layout::row_major(buffer.shape) : buffer.layout);
  for (const auto& [key, text] : optional_field<std::map<std::string, std::string>>(json, "layouts", {}, place)) {
    const auto b = static_cast<size_t>(std::atoi(key.c_str()));
    const bool own = b < kernel.buffers.size() && (kernel.buffers[b].role == kernel::Role::constant ||
                                                   kernel.buffers[b].role == kernel::Role::temporary);
    if (!own) throw InputError("{}: layouts: {} is no constant and no temporary", place, key);
    compiled.layouts[b] = kernel::Layout::parse(text);
  }
  for (size_t b = 0; b < kernel.buffers.size(); ++b)
    compiled.buffer_bytes.push_back(
        ir::byte_size(kernel.buffers[b].dtype, static_cast<size_t>(compiled.layouts[b].size())));
  return compiled;
}

class PluginCodegen final : public codegen::Codegen {
 public:
  PluginCodegen(const rt_backend& backend, const std::string& plugin, codegen::CpuTarget target)
      : backend_(backend),
        label_(fmt::format("code generator {} of {}", backend.name, plugin)),
        target_(std::move(target)) {}

  codegen::CodeObject compile(const std::vector<codegen::Job>& jobs) override {
    rt_job job;
    run(job, backend_.compile, jobs);
    codegen::CodeObject object;
    object.target = job.target;
    object.elf = std::move(job.elf);
    const Json kernels = parse_json(job.kernels, label_);
    if (!kernels.is_array() || kernels.size() != jobs.size())
      throw InputError("{}: it must describe {} kernels", label_, jobs.size());
    for (size_t j = 0; j < jobs.size(); ++j)
      object.kernels.push_back(parse(kernels[j], *jobs[j].kernel, fmt::format("{}, kernel {}", label_, j)));
    return object;
  }

  std::string dump(const codegen::Job& one, const std::string&) override {
    if (backend_.dump == nullptr) return label_ + " shows no code\n";
    rt_job job;
    run(job, backend_.dump, {one});
    return job.text;
  }

  std::string version() const override { return fmt::format("{}-{}", backend_.name, backend_.version); }
  bool follows_schedules() const override { return backend_.follows_schedules != 0; }

 private:
  template <typename F>
  void run(rt_job& job, F callback, const std::vector<codegen::Job>& jobs) const {
    for (const auto& one : jobs)
      if (!one.kernel->parameters.empty())
        throw InputError(
            "{}: plug-ins are not told of axes that end early, as in kernel {}: give the free dimensions as numbers",
            label_, one.kernel->name);
    const std::string request = describe_jobs(jobs, target_);
    const int status = guarded(&job, 1, [&] { return callback(&host(), &job, request.c_str()); });
    if (job.failed || status != 0)
      throw EnvironmentError("{} failed: {}", label_, job.why.empty() ? "it gave no reason" : job.why);
  }

  const rt_backend& backend_;
  std::string label_;
  codegen::CpuTarget target_;
};

}  // namespace

codegen::MakeCodegen define_backend(const rt_backend& backend, const std::string& plugin) {
  const auto require = [&](bool holds, const char* what) {
    if (!holds)
      throw InputError("{}: code generator '{}' {}", plugin, backend.name == nullptr ? "" : backend.name, what);
  };
  require(backend.name != nullptr && *backend.name != '\0', "must have a name");
  require(backend.version != nullptr, "must have a version");
  require(backend.compile != nullptr, "must have compile");
  return [&backend, plugin](const codegen::CpuTarget& target) {
    return std::make_unique<PluginCodegen>(backend, plugin, target);
  };
}

}  // namespace rooftune::plugins
