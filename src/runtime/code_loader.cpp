#include "runtime/code_loader.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/tile_permission.h"

namespace rooftune::runtime {
namespace {

#if defined(__x86_64__)
bool processor_has(const std::string& feature) {
  // The builtin takes literals only.
#define RT_FEATURE(text, literal) \
  if (feature == text) return __builtin_cpu_supports(literal);
  // The levels x86-64-v3 and -v4, for which code is generated.
  if (feature == "avx2")
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
  if (feature == "avx512")
    return processor_has("avx2") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  RT_FEATURE("avx512vnni", "avx512vnni")
  RT_FEATURE("avx512bf16", "avx512bf16")
  RT_FEATURE("sse4", "sse4.2")
  if (!feature.starts_with("amx") || !may_use_tiles()) return false;
  RT_FEATURE("amx-tile", "amx-tile")
  RT_FEATURE("amx-bf16", "amx-bf16")
  RT_FEATURE("amx-int8", "amx-int8")
#undef RT_FEATURE
  return false;
}
constexpr const char* kArchitecture = "x86_64";
#elif defined(__aarch64__)
bool processor_has(const std::string& feature) {
  if (feature == "neon") return true;
  // "sve256": code for vectors of that size runs on no other.
  if (!feature.starts_with("sve") || (getauxval(AT_HWCAP) & HWCAP_SVE) == 0) return false;
  const int bytes = prctl(PR_SVE_GET_VL);
  return bytes > 0 && feature == "sve" + std::to_string(8 * (bytes & PR_SVE_VL_LEN_MASK));
}
constexpr const char* kArchitecture = "aarch64";
#endif

bool write_all(int descriptor, const uint8_t* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t written = write(descriptor, data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    data += written;
    bytes -= static_cast<size_t>(written);
  }
  return true;
}

/// The system's loader dies on a truncated file, so what it will map is checked first.
void check_elf(const std::vector<uint8_t>& elf) {
  Elf64_Ehdr header;
  bool sound = elf.size() >= sizeof header;
  if (sound) {
    std::memcpy(&header, elf.data(), sizeof header);
    sound = std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64 &&
            header.e_type == ET_DYN && header.e_phentsize == sizeof(Elf64_Phdr) && header.e_phoff <= elf.size() &&
            header.e_phnum <= (elf.size() - header.e_phoff) / sizeof(Elf64_Phdr);
  }
  for (int i = 0; sound && i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, elf.data() + header.e_phoff + static_cast<size_t>(i) * sizeof segment, sizeof segment);
    sound = segment.p_offset <= elf.size() && segment.p_filesz <= elf.size() - segment.p_offset;
  }
  if (!sound) throw InputError("generated code of {} bytes is damaged: no whole ELF shared object", elf.size());
}

std::string loader_error() {
  const char* text = dlerror();
  return text ? text : "unknown error";
}

}  // namespace

std::string why_not_here(const std::string& target) {
  const size_t dash = target.find('-');
  const std::string architecture = target.substr(0, dash);
  if (architecture != kArchitecture) return fmt::format("code is for '{}', this machine is {}", target, kArchitecture);
  std::string missing;
  for (size_t at = dash; at != std::string::npos && at < target.size();) {
    const size_t next = target.find('+', at + 1);
    const std::string feature = target.substr(at + 1, next == std::string::npos ? next : next - at - 1);
    if (!feature.empty() && feature != "generic" && !processor_has(feature))
      missing += (missing.empty() ? "" : ", ") + feature;
    at = next;
  }
  return missing.empty() ? "" : fmt::format("code is for '{}', this processor lacks {}", target, missing);
}

void check_target(const std::string& target) {
  if (const auto why = why_not_here(target); !why.empty())
    throw EnvironmentError("this {}: compile the model again here", why);
}

LoadedCode::LoadedCode(const codegen::CodeObject& object, CodeStore store) {
  check_target(object.target);
  check_elf(object.elf);
  std::string path;
  if (store == CodeStore::memory) {
    descriptor_ = memfd_create("rooftune", MFD_CLOEXEC);
    if (descriptor_ >= 0 && write_all(descriptor_, object.elf.data(), object.elf.size())) {
      path = "/proc/self/fd/" + std::to_string(descriptor_);
      // The descriptor stays open while the code is loaded: dlopen knows objects by name, and a later descriptor of the
      // same number would give it this object again.
      handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (handle_) return;
    }
    if (descriptor_ >= 0) close(descriptor_);
    descriptor_ = -1;
  }
  const char* folder = std::getenv("TMPDIR");
  path = std::string(folder && *folder ? folder : "/tmp") + "/rooftune-code-XXXXXX";
  const int file = mkostemp(path.data(), O_CLOEXEC);  // mode 0600
  if (file < 0)
    throw EnvironmentError("cannot load generated code: no file can be made at {} ({})", path, std::strerror(errno));
  const bool written = write_all(file, object.elf.data(), object.elf.size());
  const int why = errno;
  close(file);
  if (written) handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  unlink(path.c_str());
  if (!written) throw EnvironmentError("cannot load generated code: writing {} failed ({})", path, std::strerror(why));
  if (!handle_)
    throw EnvironmentError(
        "cannot load generated code ({}); it needs memfd with /proc, or a TMPDIR that allows execution",
        loader_error());
}

LoadedCode::~LoadedCode() {
  if (handle_) dlclose(handle_);
  if (descriptor_ >= 0) close(descriptor_);
}

LoadedCode::LoadedCode(LoadedCode&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), descriptor_(std::exchange(other.descriptor_, -1)) {}

void* LoadedCode::symbol(const std::string& name) const {
  void* address = dlsym(handle_, name.c_str());
  RT_CHECK(address != nullptr, "the code object has no symbol '{}'", name);
  return address;
}

}  // namespace rooftune::runtime
