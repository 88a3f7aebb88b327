#include "frontends/utf8.h"

#include <cstdint>

namespace rooftune::frontends {

bool is_utf8(std::string_view s) {
  for (size_t i = 0; i < s.size();) {
    const auto c = static_cast<uint8_t>(s[i]);
    const int more = c < 0x80                ? 0
                     : c >= 0xc2 && c < 0xe0 ? 1
                     : c >= 0xe0 && c < 0xf0 ? 2
                     : c >= 0xf0 && c < 0xf5 ? 3
                                             : -1;
    if (more < 0 || i + static_cast<size_t>(more) >= s.size()) return false;
    for (int k = 1; k <= more; ++k)
      if ((static_cast<uint8_t>(s[i + static_cast<size_t>(k)]) & 0xc0) != 0x80) return false;
    const auto second = more > 0 ? static_cast<uint8_t>(s[i + 1]) : uint8_t{0x80};
    if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) || (c == 0xf0 && second < 0x90) ||
        (c == 0xf4 && second > 0x8f))
      return false;  // overlong forms, surrogates, beyond the last code point
    i += static_cast<size_t>(more) + 1;
  }
  return true;
}

}  // namespace rooftune::frontends
