#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/error.h"

namespace rooftune {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail(std::string_view action, const std::string& path, int error) {
  const std::string message = fmt::format("cannot {} '{}': {}", action, path, std::strerror(error));
  switch (error) {
    case ENOSPC:
    case EFBIG:
    case EDQUOT: throw EnvironmentError("{} (free some space, or choose another folder)", message);
    case EROFS:
    case EIO:
    case EMFILE:
    case ENFILE:
    case ENOMEM: throw EnvironmentError(message);
    case EACCES:
    case EPERM:
      if (action == "read") throw InputError(message);
      throw EnvironmentError("{} (choose a folder that you may write to)", message);
    default: throw InputError(message);
  }
}

/// Unique among all processes of this machine that share the folder, and readable by whoever finds a leftover.
std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> counter{0};
  const fs::path p(path);
  const std::string name = fmt::format(".{}.partial-{}-{}", p.filename().string(), ::getpid(), counter++);
  return (p.has_parent_path() ? p.parent_path() / name : fs::path(name)).string();
}

/// What cannot be looked at (a name too long, a folder closed to us) is not there; using it then says why.
bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::string without_trailing_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

int open_for_reading(const std::string& path, struct stat& info) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("read", path, errno);
  if (::fstat(fd, &info) != 0) {
    const int error = errno;
    ::close(fd);
    fail("read", path, error);
  }
  if (S_ISDIR(info.st_mode)) {
    ::close(fd);
    throw InputError("cannot read '{}': it is a folder, a file is needed", path);
  }
  return fd;
}

void sync_folder_of(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  const Descriptor folder{::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (folder.fd >= 0) ::fsync(folder.fd);
}

}  // namespace

std::shared_ptr<MappedFile> MappedFile::open(const std::string& path) {
  struct stat info{};
  const Descriptor file{open_for_reading(path, info)};
  if (!S_ISREG(info.st_mode)) throw InputError("cannot map '{}': it is not a regular file", path);
  const auto size = static_cast<size_t>(info.st_size);
  uint8_t* data = nullptr;
  if (size > 0) {
    void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file.fd, 0);
    if (mapped == MAP_FAILED) fail("read", path, errno);
    data = static_cast<uint8_t*>(mapped);
  }
  return std::shared_ptr<MappedFile>(new MappedFile(path, data, size));
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(data_, size_);
}

std::string read_file(const std::string& path) {
  struct stat info{};
  const Descriptor file{open_for_reading(path, info)};
  std::string content(static_cast<size_t>(info.st_size), '\0');
  size_t filled = 0;
  while (true) {  // to the end of the file: st_size is 0 for /proc and pipes
    if (filled == content.size()) content.resize(std::max<size_t>(4096, content.size() * 2));
    const ssize_t got = ::read(file.fd, content.data() + filled, content.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path, errno);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  content.resize(filled);
  return content;
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  if (path_.empty() || path_.back() == '/' || is_folder(path_))
    throw InputError("cannot write '{}': it is a folder, the name of a file is needed", path_);
  temporary_ = temporary_name(path_);
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("write", path_, errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes) {
  RT_CHECK(descriptor_ >= 0, "write after commit");
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t put = ::write(descriptor_, at, bytes);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("write", path_, errno);
    at += put;
    bytes -= static_cast<size_t>(put);
    position_ += static_cast<uint64_t>(put);
  }
}

void AtomicFile::commit() {
  RT_CHECK(descriptor_ >= 0, "second commit");
  if (::fsync(descriptor_) != 0) fail("write", path_, errno);
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  const int error = closed != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0 ? errno : 0;
  if (error != 0) {
    ::unlink(temporary_.c_str());
    fail("write", path_, error);
  }
  sync_folder_of(path_);
}

void write_file(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

AtomicDirectory::AtomicDirectory(std::string target) : target_(without_trailing_slash(std::move(target))) {
  if (target_.empty()) throw InputError("the output folder has no name");
  if (is_there(target_) && !is_folder(target_))
    throw InputError("cannot write into '{}': it is a file, a folder is needed", target_);
  std::error_code error;
  const fs::path whole = fs::absolute(target_, error);
  if (error) fail("create", target_, error.value());
  target_ = whole.lexically_normal().string();
  target_ = without_trailing_slash(target_);
  std::vector<fs::path> missing;
  for (fs::path p = fs::path(target_).parent_path(); !p.empty() && !is_there(p); p = p.parent_path())
    missing.push_back(p);
  for (auto it = missing.rbegin(); it != missing.rend(); ++it) {
    if (::mkdir(it->c_str(), 0777) != 0 && errno != EEXIST) fail("create", it->string(), errno);
    created_parents_.push_back(it->string());
  }
  staging_ = temporary_name(target_);
  if (::mkdir(staging_.c_str(), 0777) != 0) fail("create", target_, errno);
}

AtomicDirectory::~AtomicDirectory() {
  if (committed_) return;
  std::error_code ignored;
  fs::remove_all(staging_, ignored);
  for (auto it = created_parents_.rbegin(); it != created_parents_.rend(); ++it) ::rmdir(it->c_str());  // only if empty
}

void AtomicDirectory::commit() {
  RT_CHECK(!committed_, "second commit");
  if (!is_there(target_)) {
    if (::rename(staging_.c_str(), target_.c_str()) != 0) fail("create", target_, errno);
  } else {
    std::error_code error;
    std::vector<fs::path> written;
    for (fs::directory_iterator at(staging_, error), end; !error && at != end; at.increment(error))
      written.push_back(at->path());
    if (error) fail("read", staging_, error.value());
    for (const fs::path& from : written) {
      const fs::path to = fs::path(target_) / from.filename();
      if (is_folder(to)) fs::remove_all(to, error);
      if (error) fail("write", to.string(), error.value());
      if (::rename(from.c_str(), to.c_str()) != 0) fail("write", to.string(), errno);
    }
    ::rmdir(staging_.c_str());
  }
  committed_ = true;
  sync_folder_of(target_);
}

TempDirectory::TempDirectory() {
  std::error_code error;
  const fs::path base = fs::temp_directory_path(error);
  std::string pattern = (error ? fs::path("/tmp") : base).string() + "/rooftune-XXXXXX";
  if (!::mkdtemp(pattern.data())) fail("create", pattern, errno);
  path_ = pattern;
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string cache_directory() {
  const char* xdg = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::string base;
  if (xdg && *xdg == '/') base = xdg;  // a relative one is to be ignored (XDG base directory specification)
  else if (home && *home) base = std::string(home) + "/.cache";
  else
    throw EnvironmentError(
        "neither HOME nor XDG_CACHE_HOME is set: set one, measured peaks and tuning results are kept there");
  const std::string path = base + "/rooftune";
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail("create", path, error.value());
  return path;
}

}  // namespace rooftune
