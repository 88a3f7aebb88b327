// The report's style sheet and its few lines of JavaScript, inlined into every report.
#pragma once
#include <string_view>

namespace rooftune::report {

extern const std::string_view kStyleSheet;
extern const std::string_view kScript;

}  // namespace rooftune::report
