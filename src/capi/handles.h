// What the opaque handles of rooftune.h are, and how exceptions become error codes.
#pragma once
#include <exception>
#include <memory>
#include <string>

#include "base/progress.h"
#include "capi/rooftune.h"
#include "runtime/executable.h"

struct rt_tensor {
  rooftune::ir::Tensor tensor;
};

struct rt_executable {
  std::shared_ptr<const rooftune::runtime::Executable> executable;
  std::string description;
};

struct rt_context {
  std::shared_ptr<const rooftune::runtime::Executable> executable;  // outlives the context
  std::unique_ptr<rooftune::runtime::Context> context;
};

namespace rooftune::capi {

/// Keeps the error for rt_last_error and returns its kind.
rt_status remember(std::exception_ptr error) noexcept;

/// Runs the body of an entry point; nothing is thrown through C.
template <typename F>
rt_status guarded(F&& body) noexcept {
  try {
    body();
    return RT_OK;
  } catch (...) {
    return remember(std::current_exception());
  }
}

/// InputError where a pointer that must be given is null.
void require(const void* pointer, const char* name);
/// Hands progress on to the caller's function, whose answer may set `cancelled`.
std::unique_ptr<Progress> callback_progress(rt_progress callback, void* user, Cancelled& cancelled);
/// A copy that rt_free_string frees.
char* copy_string(const std::string& text);

}  // namespace rooftune::capi
