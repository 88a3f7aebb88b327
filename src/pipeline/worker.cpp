#include "pipeline/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "base/own_path.h"
#include "ir/npy.h"
#include "measure/load.h"

extern char** environ;

namespace rooftune::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr double kLoadLimit = 600;  // seconds that an engine may take to load a model

/// bench/worker.py of the tree or installation that this code lies in.
std::string worker_script() {
  std::error_code error;
  const fs::path from = own_path(reinterpret_cast<const void*>(&worker_script));
  for (fs::path folder = from.parent_path(); folder.has_relative_path(); folder = folder.parent_path())
    if (const fs::path script = folder / "bench" / "worker.py"; fs::exists(script, error)) return script.string();
  throw EnvironmentError("bench/worker.py, which holds other engines, is not beside {}", from.string());
}

std::vector<std::string> pythons() {
  std::vector<std::string> found;
  auto add = [&](const std::string& path) {
    if (::access(path.c_str(), X_OK) == 0) found.push_back(path);
  };
  if (const char* chosen = std::getenv("ROOFTUNE_PYTHON")) add(chosen);
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

/// Starts a process in a group of its own, so that Ctrl-C reaches only us. `in` and `out` become its stdin and stdout,
/// `log` its stderr.
pid_t start(const std::vector<std::string>& arguments, int in, int out, const std::string& log) {
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

/// The first Python that has all of these packages; empty where none has.
std::string python_with(const std::vector<std::string>& packages) {
  for (const auto& python : pythons()) {
    std::vector<std::string> command = {
        python, "-c", "import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))"};
    command.insert(command.end(), packages.begin(), packages.end());
    const pid_t process = start(command, -1, -1, "/dev/null");
    int status = 0;
    while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return python;
  }
  return {};
}

std::string last_line(const std::string& text) {
  size_t end = text.find_last_not_of(" \n\r");
  if (end == std::string::npos) return "it ended without a word";
  const size_t begin = text.rfind('\n', end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1,
                     end - (begin == std::string::npos ? 0 : begin + 1) + 1);
}

}  // namespace

const std::vector<Rival>& rivals() {
  static const std::vector<Rival> all = {{"onnxruntime", "onnxruntime"}, {"openvino", "openvino"}};
  return all;
}

Worker::Worker(const Rival& rival, const std::string& model, int threads, const std::vector<std::string>& input_names,
               const std::vector<ir::Tensor>& inputs, const std::string& folder, const Cancelled& cancelled)
    : engine_(rival.engine), package_(rival.package), folder_(folder + "/" + rival.engine) {
  const std::string script = worker_script();
  python_ = python_with({"numpy", package_});
  if (python_.empty())
    throw EnvironmentError(
        "engine '{0}' needs a Python that has it: pip install numpy {1}, and put that python3 on PATH or name it in "
        "ROOFTUNE_PYTHON",
        engine_, package_);
  fs::create_directories(folder_ + "/in");
  fs::create_directories(folder_ + "/out");
  Json names = Json::object();
  for (size_t i = 0; i < inputs.size(); ++i) {
    names[input_names[i]] = std::to_string(i) + ".npy";
    ir::write_npy(folder_ + "/in/" + std::to_string(i) + ".npy", inputs[i]);
  }
  write_file(folder_ + "/in/names.json", names.dump());
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    throw EnvironmentError("no socket for engine '{}': {}", engine_, std::strerror(errno));
  socket_ = pair[0];
  try {
    process_ = start({python_, script, engine_, fs::absolute(model).string(), std::to_string(threads), folder_ + "/in",
                      folder_ + "/out"},
                     pair[1], pair[1], folder_ + "/log");
    ::close(pair[1]);
    info_ = parse_json(read_line(kLoadLimit, cancelled), engine_);
  } catch (...) {
    stop();
    throw;
  }
}

Worker::~Worker() { stop(); }

void Worker::stop() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
  if (process_ <= 0) return;
  ::kill(-process_, SIGKILL);  // its group, which we made
  while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
  process_ = -1;
}

void Worker::fail() const {
  throw InputError("engine '{}' does not run this model: {}", engine_, last_line(read_file(folder_ + "/log")));
}

std::string Worker::read_line(double limit_seconds, const Cancelled& cancelled) {
  const double end = measure::now_seconds() + limit_seconds;
  while (buffer_.find('\n') == std::string::npos) {
    if (cancelled.requested()) throw EnvironmentError("interrupted while engine '{}' was at work", engine_);
    if (measure::now_seconds() > end)
      throw EnvironmentError("engine '{}' gave no answer within {:.0f} s", engine_, limit_seconds);
    pollfd wait{socket_, POLLIN, 0};
    if (::poll(&wait, 1, 200) <= 0) continue;
    char chunk[65536];
    const ssize_t n = ::read(socket_, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail();
    buffer_.append(chunk, static_cast<size_t>(n));
  }
  const size_t at = buffer_.find('\n');
  std::string line = buffer_.substr(0, at);
  buffer_.erase(0, at + 1);
  return line;
}

Json Worker::burst(double seconds, const Cancelled& cancelled) {
  const std::string line = fmt::format("{:.4f}\n", seconds);
  if (::send(socket_, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) fail();
  return parse_json(read_line(seconds * 20 + 120, cancelled), engine_);
}

std::vector<ir::Tensor> Worker::outputs(const std::vector<std::string>& names) const {
  const std::string path = folder_ + "/out/names.json";
  const Json files = parse_json(read_file(path), path);
  std::vector<ir::Tensor> result;
  for (const auto& name : names) {
    if (!files.contains(name)) throw InputError("engine '{}' gives no output '{}'", engine_, name);
    result.push_back(ir::read_npy(folder_ + "/out/" + files[name].get<std::string>()));
  }
  return result;
}

}  // namespace rooftune::pipeline
