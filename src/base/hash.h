// Hashes: xxHash64 for keys and caches (fast, not against an adversary), SHA-256 for what leaves this process
// (packages, run cards).
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace rooftune {

uint64_t xxh64(const void* data, size_t bytes, uint64_t seed = 0);
inline uint64_t xxh64(std::string_view text, uint64_t seed = 0) { return xxh64(text.data(), text.size(), seed); }

/// 16 hexadecimal digits.
std::string to_hex(uint64_t hash);

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(const void* data, size_t bytes);
  void update(std::string_view text) { update(text.data(), text.size()); }
  /// 64 hexadecimal digits; ends the computation.
  std::string finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

std::string sha256(const void* data, size_t bytes);
inline std::string sha256(std::string_view text) { return sha256(text.data(), text.size()); }
std::string sha256_file(const std::string& path);

}  // namespace rooftune
