// Uncompressed ustar archives: `.rt` packages are such, so that any tool opens them and members can be mapped in place.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace rooftune::runtime {

/// Where a member's bytes lie in the archive.
struct TarMember {
  size_t offset = 0;
  size_t bytes = 0;
};

/// InputError that starts with `source` where the archive is cut off, damaged or none at all. Members may be any bytes
/// and are not read; the headers carry checksums of their own.
std::map<std::string, TarMember> read_tar(std::string_view archive, const std::string& source);

/// Writes an archive through a sink, member by member; equal members give equal bytes (no times, no users).
class TarWriter {
 public:
  using Sink = std::function<void(const void* data, size_t bytes)>;
  explicit TarWriter(Sink sink) : sink_(std::move(sink)) {}
  /// `content` must write exactly `bytes` bytes into the sink that it is given.
  void add(const std::string& name, uint64_t bytes, const std::function<void(const Sink&)>& content);
  void add(const std::string& name, std::string_view content);
  void finish();

 private:
  Sink sink_;
};

}  // namespace rooftune::runtime
