// A cheap guess how long a scheduled kernel takes: cycles of its register tiles, or the bytes that its loops move through
// each cache level, whichever is more. It only has to rank schedules of one task, so that hopeless ones are not measured.
#pragma once
#include "kernel/space.h"

namespace rooftune::estimate {

double predict_ms(const kernel::Kernel& kernel, const kernel::Schedule& schedule, const kernel::Machine& machine);

}  // namespace rooftune::estimate
