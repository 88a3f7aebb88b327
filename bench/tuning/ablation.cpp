// What each part of the search is worth.
#include "bench/tuning/tuning_bench.h"

namespace rooftune::bench {

int ablation(const Arguments&) { return 0; }

}  // namespace rooftune::bench
