#include "base/tile_permission.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace rooftune {

bool may_use_tiles() {
#if defined(__x86_64__)
  static const bool granted = [] {
    constexpr long kAsk = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA (Linux 5.16)
    return syscall(SYS_arch_prctl, kAsk, kTileData) == 0;
  }();
  return granted;
#else
  return false;
#endif
}

}  // namespace rooftune
