// Other programs at our service: each runs in a process group of its own, so that Ctrl-C reaches us alone and what we end
// ends with its children.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

namespace rooftune {

/// Starts arguments[0]. The descriptors `in` and `out` become its stdin and stdout (-1: nothing), the file `log` its
/// stderr. EnvironmentError where it cannot be started.
pid_t start_process(const std::vector<std::string>& arguments, int in, int out, const std::string& log);
/// Waits for its end. The exit status, or 128 and the signal that ended it.
int wait_for(pid_t process);
/// Whether it has ended; `status` as of wait_for. It is then gone.
bool has_ended(pid_t process, int& status);
/// Kills its group and waits for it.
void end_process(pid_t process);

/// The first Python that has all of these packages, empty where none has. Asked are those that the environment variables
/// name, in their order, then that of an active virtual environment, then those on PATH.
std::string python_with(const std::vector<std::string>& packages, const std::vector<std::string>& variables);

/// The last `count` lines of `text` that hold something, joined by " / "; "it ended without a word" where there are none.
std::string last_lines(const std::string& text, int count);

}  // namespace rooftune
