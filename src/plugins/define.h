// What a plug-in's tables become: operators of the catalogue and code generators.
#pragma once
#include <string>

#include "codegen/codegen.h"
#include "ops/op.h"
#include "plugins/rooftune_plugin.h"

namespace rooftune::plugins {

/// `plugin` names the plug-in in messages. InputError where something that must be there is missing.
ops::OpDef define_operator(const rt_operator& op, const std::string& plugin);
codegen::MakeCodegen define_backend(const rt_backend& backend, const std::string& plugin);

/// The request of a backend's callbacks: target and kernels as docs/plugins.md describes them.
std::string describe_jobs(const std::vector<codegen::Job>& jobs, const codegen::CpuTarget& target);

}  // namespace rooftune::plugins
