#include "frontends/convert.h"

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/process.h"
#include "base/progress.h"
#include "frontends/convert_script.h"

namespace rooftune::frontends {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::hours kLimit(1);
constexpr int kMissing = 4;  // exit status of convert.py

/// Its exit status.
int wait_for_end(pid_t process, const std::string& what) {
  const auto end = std::chrono::steady_clock::now() + kLimit;
  int status = 0;
  while (!has_ended(process, status)) {
    const bool late = std::chrono::steady_clock::now() > end;
    if (late || interrupted().requested()) {
      end_process(process);
      throw EnvironmentError("{} {}", what, late ? "took more than an hour" : "was interrupted");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return status;
}

}  // namespace

void convert(const Converter& converter, const std::string& source, const std::string& target) {
  const std::string python = python_with(converter.packages, converter.variables);
  const std::string install = fmt::format("pip install {}", fmt::join(converter.packages, " "));
  if (python.empty())
    throw EnvironmentError(
        "{}: reading it takes a Python that has {}: {}, and put that python3 on PATH or name it in {}", source,
        converter.framework, install, fmt::join(converter.variables, " or "));
  const TempDirectory work;
  const std::string script = work.file("convert.py"), log = work.file("log");
  write_file(script, kConvertScript);
  const std::string what = fmt::format("{}: its conversion by {}", source, python);
  const int status = wait_for_end(
      start_process({python, script, converter.kind, fs::absolute(source).string(), target}, -1, -1, log), what);
  if (status == 0) return;
  const std::string said = last_lines(read_file(log), 3);
  if (status == kMissing) throw EnvironmentError("{}: {}; {}", what, said, install);
  throw InputError("{} failed: {}", what, said);
}

}  // namespace rooftune::frontends
