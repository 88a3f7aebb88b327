#include <cmath>
#include <limits>

#include "capi/functions.h"
#include "capi/handles.h"

namespace rooftune::capi {
namespace {

class CallbackProgress final : public Progress {
 public:
  CallbackProgress(rt_progress callback, void* user, Cancelled& cancelled)
      : callback_(callback), user_(user), cancelled_(cancelled) {}
  void report(std::string_view stage, double done, double total, std::optional<double> best_so_far_ms,
              std::optional<double> eta_seconds) override {
    constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
    const std::string text(stage);
    if (callback_(user_, text.c_str(), done, total, best_so_far_ms.value_or(kUnknown),
                  eta_seconds.value_or(kUnknown)) != 0)
      cancelled_.request();
  }

 private:
  rt_progress callback_;
  void* user_;
  Cancelled& cancelled_;
};

}  // namespace

std::unique_ptr<Progress> callback_progress(rt_progress callback, void* user, Cancelled& cancelled) {
  return std::make_unique<CallbackProgress>(callback, user, cancelled);
}

}  // namespace rooftune::capi

extern "C" rt_status rt_call(const char* name, const char* request, rt_progress progress, void* user, char** response) {
  using namespace rooftune::capi;
  return guarded([&] {
    require(name, "name");
    require(request, "request");
    require(response, "response");
    rooftune::Cancelled cancelled;
    const auto reporter = progress ? callback_progress(progress, user, cancelled) : nullptr;
    *response =
        copy_string(call(functions(), name, request, reporter ? *reporter : rooftune::no_progress(), cancelled));
  });
}
