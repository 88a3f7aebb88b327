#include "base/version.h"

namespace rooftune {

const char* version() { return ROOFTUNE_VERSION; }

}  // namespace rooftune
