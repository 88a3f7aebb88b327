#include "pipeline/worker.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/files.h"
#include "base/own_path.h"
#include "base/process.h"
#include "ir/npy.h"
#include "measure/load.h"

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

}  // namespace

const std::vector<Rival>& rivals() {
  static const std::vector<Rival> all = {{"onnxruntime", "onnxruntime"}, {"openvino", "openvino"}};
  return all;
}

Worker::Worker(const Rival& rival, const std::string& model, const std::string& precision, int threads,
               const std::vector<std::string>& input_names, const std::vector<ir::Tensor>& inputs,
               const std::string& folder, const Cancelled& cancelled)
    : engine_(rival.engine), package_(rival.package), folder_(folder + "/" + rival.engine) {
  const std::string script = worker_script();
  python_ = python_with({"numpy", package_}, {"ROOFTUNE_PYTHON"});
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
    process_ = start_process({python_, script, engine_, fs::absolute(model).string(), std::to_string(threads),
                              folder_ + "/in", folder_ + "/out", precision},
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
  end_process(process_);
  process_ = -1;
}

void Worker::fail() const {
  throw InputError("engine '{}' does not run this model: {}", engine_, last_lines(read_file(folder_ + "/log"), 1));
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
