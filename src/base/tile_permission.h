// Linux saves the large tile registers (AMX) of those processes only that have asked for it: an instruction of theirs
// would else end the process. Detection and loading of code both ask, so that nothing is promised that cannot run.
#pragma once

namespace rooftune {

/// Asks once for the whole process, all its threads; whether they may use tile registers.
bool may_use_tiles();

}  // namespace rooftune
