#include "runtime/tar.h"

#include <cstring>

#include "base/error.h"

namespace rooftune::runtime {
namespace {

constexpr size_t kBlock = 512;

struct Header {  // POSIX.1-1988 ustar
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2],
      user[32], group[32], major[8], minor[8], prefix[155], unused[12];
};
static_assert(sizeof(Header) == kBlock);

unsigned checksum(Header header) {
  std::memset(header.checksum, ' ', sizeof header.checksum);
  unsigned sum = 0;
  for (size_t i = 0; i < kBlock; ++i) sum += reinterpret_cast<const unsigned char*>(&header)[i];
  return sum;
}

/// Octal text, or where that is too short (8 GiB and more) big-endian binary behind a byte of 0x80, as GNU tar writes it.
void put_size(char (&field)[12], uint64_t value) {
  if (value < (uint64_t{1} << 33)) {
    fmt::format_to_n(field, 11, "{:011o}", value);
    return;
  }
  for (size_t i = 11; i > 0; --i, value >>= 8) field[i] = static_cast<char>(value & 0xff);
  field[0] = static_cast<char>(0x80);
}

uint64_t get_number(const char* field, size_t length) {
  uint64_t value = 0;
  if (static_cast<unsigned char>(field[0]) == 0x80) {
    for (size_t i = length - 8; i < length; ++i) value = value << 8 | static_cast<unsigned char>(field[i]);
    return value;
  }
  for (size_t i = 0; i < length && field[i] >= '0' && field[i] <= '7'; ++i)
    value = value << 3 | static_cast<uint64_t>(field[i] - '0');
  return value;
}

}  // namespace

std::map<std::string, TarMember> read_tar(std::string_view archive, const std::string& source) {
  std::map<std::string, TarMember> members;
  size_t at = 0;
  while (true) {
    if (archive.size() - at < kBlock) {
      if (at == 0) throw InputError("{}: {} bytes are too few for a package", source, archive.size());
      throw InputError("{}: cut off after {} bytes", source, archive.size());
    }
    Header header;
    std::memcpy(&header, archive.data() + at, kBlock);
    static constexpr Header kZeros{};
    if (at > 0 && std::memcmp(&header, &kZeros, kBlock) == 0) return members;
    if (std::memcmp(header.magic, "ustar", 5) != 0) {
      if (at == 0) throw InputError("{}: not a package (no tar archive)", source);
      throw InputError("{}: damaged at byte {}", source, at);
    }
    if (get_number(header.checksum, sizeof header.checksum) != checksum(header))
      throw InputError("{}: damaged at byte {} (wrong checksum)", source, at);
    const std::string name(header.name, strnlen(header.name, sizeof header.name));
    const uint64_t bytes = get_number(header.size, sizeof header.size);
    at += kBlock;
    if (bytes > archive.size() - at)
      throw InputError("{}: cut off: '{}' has {} bytes, {} are there", source, name, bytes, archive.size() - at);
    if (header.type == '0' || header.type == '\0') members[name] = {at, static_cast<size_t>(bytes)};
    at = std::min<uint64_t>(archive.size(), at + (bytes + kBlock - 1) / kBlock * kBlock);
  }
}

void TarWriter::add(const std::string& name, uint64_t bytes, const std::function<void(const Sink&)>& content) {
  Header header{};
  RT_CHECK(name.size() < sizeof header.name, "'{}' is too long for an archive", name);
  std::memcpy(header.name, name.data(), name.size());
  std::memcpy(header.mode, "0000644", 7);
  std::memcpy(header.uid, "0000000", 7);
  std::memcpy(header.gid, "0000000", 7);
  put_size(header.size, bytes);
  std::memcpy(header.mtime, "00000000000", 11);
  header.type = '0';
  std::memcpy(header.magic, "ustar", 6);
  std::memcpy(header.version, "00", 2);
  fmt::format_to_n(header.checksum, 7, "{:06o}", checksum(header));
  header.checksum[6] = '\0';
  header.checksum[7] = ' ';
  sink_(&header, kBlock);
  uint64_t written = 0;
  content([&](const void* data, size_t size) {
    written += size;
    sink_(data, size);
  });
  RT_CHECK(written == bytes, "'{}' was to have {} bytes and got {}", name, bytes, written);
  static constexpr char kZeros[kBlock] = {};
  sink_(kZeros, (kBlock - bytes % kBlock) % kBlock);
}

void TarWriter::add(const std::string& name, std::string_view content) {
  add(name, content.size(), [&](const Sink& sink) { sink(content.data(), content.size()); });
}

void TarWriter::finish() {
  static constexpr char kZeros[2 * kBlock] = {};
  sink_(kZeros, sizeof kZeros);
}

}  // namespace rooftune::runtime
