#include <cstdlib>
#include <cstring>
#include <new>

#include "base/error.h"
#include "base/version.h"
#include "capi/handles.h"

namespace rooftune::capi {
namespace {

struct LastError {
  rt_status status = RT_OK;
  std::string message;
};
thread_local LastError last_error;

rt_status keep(rt_status status, const char* message) noexcept {
  last_error.status = status;
  try {
    last_error.message = message;
  } catch (...) {  // no memory even for the message
    last_error.message.clear();
  }
  return status;
}

}  // namespace

rt_status remember(std::exception_ptr error) noexcept {
  try {
    std::rethrow_exception(std::move(error));
  } catch (const InputError& e) {
    return keep(RT_INPUT_ERROR, e.what());
  } catch (const EnvironmentError& e) {
    return keep(RT_ENVIRONMENT_ERROR, e.what());
  } catch (const std::bad_alloc&) {
    return keep(RT_ENVIRONMENT_ERROR, "out of memory");
  } catch (const std::exception& e) {
    return keep(RT_INTERNAL_ERROR, e.what());
  } catch (...) {
    return keep(RT_INTERNAL_ERROR, "unknown exception");
  }
}

void require(const void* pointer, const char* name) {
  if (!pointer) throw InputError("argument '{}' is NULL", name);
}

char* copy_string(const std::string& text) {
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (!copy) throw std::bad_alloc();
  std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

}  // namespace rooftune::capi

extern "C" {

const char* rt_version(void) { return rooftune::version(); }

rt_status rt_last_error(const char** message) {
  if (message) *message = rooftune::capi::last_error.message.c_str();
  return rooftune::capi::last_error.status;
}

void rt_free_string(char* text) { std::free(text); }
}
