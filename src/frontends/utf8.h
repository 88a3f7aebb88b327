// Names in a graph are UTF-8, whatever bytes a file has: reports and packages write them as JSON.
#pragma once
#include <string_view>

namespace rooftune::frontends {

bool is_utf8(std::string_view text);

}  // namespace rooftune::frontends
