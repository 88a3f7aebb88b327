#include "hardware/host.h"

#include <sched.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/tile_permission.h"

namespace rooftune::hardware {
namespace fs = std::filesystem;
namespace {

std::string trimmed(std::string text) {
  const auto space = [](unsigned char c) { return std::isspace(c) != 0; };
  while (!text.empty() && space(static_cast<unsigned char>(text.back()))) text.pop_back();
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), space));
  return text;
}

bool is_there(const std::string& path) {
  std::error_code ignored;  // what cannot be looked at is not there
  return fs::exists(path, ignored);
}

std::optional<std::string> read_if_there(const std::string& path) {
  if (!is_there(path)) return std::nullopt;
  try {
    return trimmed(read_file(path));
  } catch (const Error&) {
    return std::nullopt;  // some files of /sys exist but cannot be read in containers
  }
}

int to_int(const std::string& text, int otherwise = 0) {
  try {
    return std::stoi(text);
  } catch (const std::exception&) {
    return otherwise;
  }
}

/// "0-3,8" → 5
int count_cpu_list(const std::string& list) {
  int count = 0;
  std::istringstream parts(list);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t dash = part.find('-');
    const int first = to_int(part), last = dash == std::string::npos ? first : to_int(part.substr(dash + 1), first);
    count += std::max(0, last - first + 1);
  }
  return count;
}

/// "32K", "8192K", "16M" → bytes
double parse_size(const std::string& text) {
  const double number = to_int(text);
  if (text.empty()) return 0;
  switch (text.back()) {
    case 'K': return number * 1024;
    case 'M': return number * 1024 * 1024;
    case 'G': return number * 1024 * 1024 * 1024;
    default: return number;
  }
}

void read_cpuinfo(const std::string& text, Host& host) {
  std::set<std::pair<std::string, std::string>> cores;  // (socket, core)
  std::set<std::string> sockets;
  std::string socket = "0", core;
  std::istringstream lines(text);
  int processors = 0;
  const auto end_of_processor = [&] {
    if (!core.empty()) cores.emplace(socket, core);
    core.clear();
  };
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = trimmed(line.substr(0, colon)), value = trimmed(line.substr(colon + 1));
    if (key == "processor") end_of_processor(), ++processors;
    else if (key == "physical id") sockets.insert(socket = value);
    else if (key == "core id") core = value;
    if (processors > 1) continue;  // the rest is the same for every processor
    if (key == "vendor_id" || key == "CPU implementer") host.vendor = value;
    else if (key == "model name") host.model_name = value;
    else if (key == "cpu family" || key == "CPU architecture") host.family = to_int(value);
    else if (key == "model" || key == "CPU part") host.model = static_cast<int>(std::strtol(value.c_str(), nullptr, 0));
    else if (key == "stepping" || key == "CPU revision") host.stepping = to_int(value);
    else if (key == "flags" || key == "Features") {
      std::istringstream words(value);
      for (std::string word; words >> word;) host.features.insert(word);
    }
  }
  end_of_processor();
  host.logical_cpus = std::max(1, processors);
  host.cores = cores.empty() ? host.logical_cpus : static_cast<int>(cores.size());
  host.sockets = std::max<int>(1, static_cast<int>(sockets.size()));
  if (host.model_name.empty()) host.model_name = host.vendor;
}

void read_caches(const std::string& folder, Host& host) {
  for (int index = 0; is_there(folder + "/index" + std::to_string(index)); ++index) {
    const std::string cache = folder + "/index" + std::to_string(index) + "/";
    if (read_if_there(cache + "type").value_or("") == "Instruction") continue;
    CacheLevel level;
    level.level = to_int(read_if_there(cache + "level").value_or("0"));
    level.bytes = parse_size(read_if_there(cache + "size").value_or(""));
    level.shared_by = std::max(1, count_cpu_list(read_if_there(cache + "shared_cpu_list").value_or("0")));
    if (level.level > 0 && level.bytes > 0) host.caches.push_back(level);
  }
  std::sort(host.caches.begin(), host.caches.end(), [](const auto& a, const auto& b) { return a.level < b.level; });
}

/// CPUs that the cgroup's quota amounts to (version 2 and 1), rounded up.
std::optional<int> cgroup_cpus(const std::string& root) {
  double quota = -1, period = 0;
  if (const auto v2 = read_if_there(root + "sys/fs/cgroup/cpu.max")) {
    std::istringstream(*v2) >> quota >> period;  // "max 100000" leaves quota unread: 0
    if (v2->starts_with("max")) return std::nullopt;
  } else if (const auto v1 = read_if_there(root + "sys/fs/cgroup/cpu/cpu.cfs_quota_us")) {
    quota = to_int(*v1, -1);
    period = to_int(read_if_there(root + "sys/fs/cgroup/cpu/cpu.cfs_period_us").value_or("0"));
  }
  if (quota <= 0 || period <= 0) return std::nullopt;
  return static_cast<int>(std::ceil(quota / period));
}

}  // namespace

std::string Host::isa() const {
  if (has("avx512f") && has("avx512dq") && has("avx512bw") && has("avx512vl") && has("fma")) return "avx512";
  if (has("avx2") && has("fma")) return "avx2";
  return "baseline";
}

int Host::vector_bits() const {
  const std::string level = isa();
  return level == "avx512" ? 512 : level == "avx2" ? 256 : 128;
}

// AMD's cores before family 26 (Zen 5) execute 512-bit operations in two halves (Software Optimization Guide for the Zen 4
// Microarchitecture, 2.11); all others with such vectors start two a cycle.
int Host::vector_fmas() const {
  const bool halves = vector_bits() == 512 && vendor == "AuthenticAMD" && family < 26;
  return halves || vector_bits() == 128 ? 1 : 2;
}

std::string Host::key() const {
  std::string readable;
  for (char c : model_name) {
    if (std::isalnum(static_cast<unsigned char>(c)))
      readable += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else if (!readable.empty() && readable.back() != '_') readable += '_';
  }
  while (!readable.empty() && readable.back() == '_') readable.pop_back();
  std::string details = fmt::format("{} {} {} {} {} {}", vendor, family, model, stepping, cores, sockets);
  for (const std::string& feature : features) details += " " + feature;
  for (const CacheLevel& cache : caches)
    details += fmt::format(" L{}:{}/{}", cache.level, cache.bytes, cache.shared_by);
  return fmt::format("{}-{}c-{}-{}", readable, available_cpus, isa(), to_hex(xxh64(details)).substr(0, 8));
}

Host detect_host(const std::string& root_folder) {
  const std::string root = root_folder.ends_with('/') ? root_folder : root_folder + "/";
  const auto cpuinfo = read_if_there(root + "proc/cpuinfo");
  if (!cpuinfo)
    throw EnvironmentError("'{}proc/cpuinfo' is not readable: Rooftune needs a Linux system with /proc", root);
  Host host;
  read_cpuinfo(*cpuinfo, host);
  read_caches(root + "sys/devices/system/cpu/cpu0/cache", host);
  if (const auto khz = read_if_there(root + "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"))
    host.max_clock_hz = 1e3 * to_int(*khz);
  if (const auto meminfo = read_if_there(root + "proc/meminfo")) {
    const size_t at = meminfo->find("MemTotal:");
    if (at != std::string::npos) host.memory_bytes = 1024 * std::strtod(meminfo->c_str() + at + 9, nullptr);
  }
  host.available_cpus = host.logical_cpus;
  cpu_set_t mask;
  if (root == "/" && !may_use_tiles())
    std::erase_if(host.features, [](const std::string& feature) { return feature.starts_with("amx"); });
  if (root == "/" && ::sched_getaffinity(0, sizeof mask, &mask) == 0)
    host.available_cpus = std::min(host.available_cpus, CPU_COUNT(&mask));
  if (const auto quota = cgroup_cpus(root)) host.available_cpus = std::min(host.available_cpus, *quota);
  host.available_cpus = std::max(1, host.available_cpus);
  return host;
}

}  // namespace rooftune::hardware
