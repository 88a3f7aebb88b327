#include "base/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace rooftune {
namespace {

int exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

std::vector<std::string> pythons(const std::vector<std::string>& variables) {
  std::vector<std::string> found;
  const auto add = [&](const std::string& path) {
    if (::access(path.c_str(), X_OK) == 0) found.push_back(path);
  };
  for (const auto& variable : variables)
    if (const char* chosen = std::getenv(variable.c_str())) add(chosen);
  if (const char* environment = std::getenv("VIRTUAL_ENV")) add(std::string(environment) + "/bin/python3");
  const char* path = std::getenv("PATH");
  const std::string all = path == nullptr ? "" : path;
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find(':', at), all.size());
    if (end > at) add(all.substr(at, end - at) + "/python3");
    at = end + 1;
  }
  return found;
}

}  // namespace

pid_t start_process(const std::vector<std::string>& arguments, int in, int out, const std::string& log) {
  std::vector<char*> argv;
  for (const auto& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (in >= 0) posix_spawn_file_actions_adddup2(&actions, in, 0);
  else posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (out >= 0) posix_spawn_file_actions_adddup2(&actions, out, 1);
  else posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  pid_t process = -1;
  const int failed = ::posix_spawn(&process, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) throw EnvironmentError("{} cannot be started: {}", arguments[0], std::strerror(failed));
  return process;
}

int wait_for(pid_t process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return exit_status(status);
}

bool has_ended(pid_t process, int& status) {
  int raw = 0;
  if (::waitpid(process, &raw, WNOHANG) != process) return false;
  status = exit_status(raw);
  return true;
}

void end_process(pid_t process) {
  ::kill(-process, SIGKILL);  // its group, which we made
  wait_for(process);
}

std::string python_with(const std::vector<std::string>& packages, const std::vector<std::string>& variables) {
  for (const auto& python : pythons(variables)) {
    std::vector<std::string> command = {
        python, "-c", "import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))"};
    command.insert(command.end(), packages.begin(), packages.end());
    if (wait_for(start_process(command, -1, -1, "/dev/null")) == 0) return python;
  }
  return {};
}

std::string last_lines(const std::string& text, int count) {
  std::vector<std::string> lines;
  size_t end = text.size();
  while (end > 0 && static_cast<int>(lines.size()) < count) {
    const size_t newline = text.rfind('\n', end - 1);
    const size_t begin = newline == std::string::npos ? 0 : newline + 1;
    std::string line = text.substr(begin, end - begin);
    line.erase(line.find_last_not_of(" \t\r\n") + 1);
    if (const size_t first = line.find_first_not_of(" \t"); first != std::string::npos)
      lines.push_back(line.substr(first));
    end = begin == 0 ? 0 : begin - 1;
  }
  if (lines.empty()) return "it ended without a word";
  std::reverse(lines.begin(), lines.end());
  return fmt::format("{}", fmt::join(lines, " / "));
}

}  // namespace rooftune
