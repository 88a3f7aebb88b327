#include "base/error.h"

namespace rooftune {

void fail_check(const char* file, int line, const char* condition, const std::string& message) {
  throw InternalError("internal check failed at {}:{}: {} {}", file, line, condition, message);
}

}  // namespace rooftune
