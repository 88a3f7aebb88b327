// What the opaque handles of rooftune_plugin.h are. A callback works on one rt_node; what goes wrong in the functions that it
// calls is kept there, since nothing may be thrown through a plug-in's code.
#pragma once
#include <deque>
#include <string>
#include <vector>

#include "ops/op.h"
#include "plugins/rooftune_plugin.h"

struct rt_node {
  rt_node(const rooftune::ir::Node& made_for, int opset) : node(made_for), expand_opset(opset) {}

  const rooftune::ir::Node& node;
  int expand_opset;
  // One of these, for the callback that runs:
  rooftune::ops::InferContext* infer = nullptr;
  const rooftune::ops::CostContext* cost = nullptr;
  rooftune::ops::EvalContext* evaluate = nullptr;
  rooftune::ops::ExpandContext* expand = nullptr;

  std::vector<rooftune::ir::Dim> dims;        // rt_dim is an index
  std::deque<std::string> texts;              // handed out
  std::deque<std::vector<int64_t>> integers;  // handed out
  std::deque<std::vector<float>> floats;      // handed out
  bool failed = false;
  std::string why;  // the first failure

  void fail(const std::string& reason) {
    if (!failed) why = reason;
    failed = true;
  }
};

struct rt_job {
  bool failed = false;
  std::string why;
  std::string target, kernels, text;  // answers
  std::vector<uint8_t> elf;

  void fail(const std::string& reason) {
    if (!failed) why = reason;
    failed = true;
  }
};

namespace rooftune::plugins {

/// The functions that callbacks call.
const rt_host& host();

/// Runs what a plug-in or a plug-in's caller does; whatever it throws becomes a failure of `call`.
template <typename Call, typename R, typename F>
R guarded(Call* call, R otherwise, F&& f) noexcept {
  try {
    return f();
  } catch (const std::exception& e) {
    call->fail(e.what());
  } catch (...) {
    call->fail("something that is no std::exception was thrown");
  }
  return otherwise;
}

}  // namespace rooftune::plugins
