// The zip format as its specification (PKWARE's APPNOTE.TXT, 4.3 and 4.5.3) has it: the end record leads to the central
// directory, whose entries lead to the members' own headers; the zip64 forms hold what is too large for 32 bits.
#include "frontends/torch/archive.h"

#include <algorithm>

namespace rooftune::frontends::torch_format {
namespace {

constexpr uint32_t kEnd = 0x06054b50, kEnd64 = 0x06064b50, kEnd64Locator = 0x07064b50;
constexpr uint32_t kEntry = 0x02014b50, kLocal = 0x04034b50;
constexpr uint64_t kEndBytes = 22, kLocatorBytes = 20, kEnd64Bytes = 56, kEntryBytes = 46, kLocalBytes = 30;
constexpr uint64_t kLongestComment = 0xffff;
constexpr uint16_t kEncrypted = 1, kStored = 0, kZip64 = 1;
constexpr uint32_t kIn64 = 0xffffffff;  // the value stands in the zip64 record

struct Entry {
  std::string_view name;
  bool stored = true;
  uint64_t bytes = 0, offset = 0;  // of the contents; of the member's own header
};

/// Little-endian numbers, each read checked.
class Reader {
 public:
  Reader(const uint8_t* data, uint64_t size) : data_(data), size_(size) {}

  template <typename T>
  T number(uint64_t at) const {
    check(at, sizeof(T));
    T value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value | static_cast<T>(data_[at + i]) << (8 * i));
    return value;
  }
  std::string_view text(uint64_t at, uint64_t bytes) const {
    check(at, bytes);
    return {reinterpret_cast<const char*>(data_ + at), bytes};
  }
  void check(uint64_t at, uint64_t bytes) const {
    if (at > size_ || bytes > size_ - at)
      throw InputError("the archive is truncated or damaged: bytes {} to {} are needed, the file has {}", at,
                       static_cast<double>(at) + static_cast<double>(bytes), size_);
  }
  uint64_t size() const { return size_; }

 private:
  const uint8_t* data_;
  uint64_t size_;
};

/// The end record lies at the very end, before a comment of any length.
uint64_t find_end(const Reader& file) {
  const uint64_t first =
      file.size() > kEndBytes + kLongestComment ? file.size() - kEndBytes - kLongestComment : uint64_t{0};
  for (uint64_t at = file.size() < kEndBytes ? 0 : file.size() - kEndBytes + 1; at-- > first;)
    if (file.number<uint32_t>(at) == kEnd && at + kEndBytes + file.number<uint16_t>(at + 20) == file.size()) return at;
  throw InputError("not a zip archive, or a truncated one: it has no end record");
}

struct Directory {
  uint64_t offset, entries;
};

Directory find_directory(const Reader& file) {
  const uint64_t end = find_end(file);
  Directory d{file.number<uint32_t>(end + 16), file.number<uint16_t>(end + 10)};
  if (end < kLocatorBytes || file.number<uint32_t>(end - kLocatorBytes) != kEnd64Locator) return d;
  const auto end64 = file.number<uint64_t>(end - kLocatorBytes + 8);
  file.check(end64, kEnd64Bytes);
  if (file.number<uint32_t>(end64) != kEnd64) throw InputError("the archive is damaged: its zip64 end record is gone");
  return {file.number<uint64_t>(end64 + 48), file.number<uint64_t>(end64 + 32)};
}

/// Sizes and offset that did not fit into the entry stand in its zip64 field, in this order.
void read_zip64(const Reader& file, uint64_t at, uint64_t bytes, uint64_t* compressed, Entry& entry) {
  for (const uint64_t end = at + bytes; at + 4 <= end;) {
    const auto id = file.number<uint16_t>(at), length = file.number<uint16_t>(at + 2);
    at += 4;
    if (id != kZip64) {
      at += length;
      continue;
    }
    for (uint64_t* value : {&entry.bytes, compressed, &entry.offset}) {
      if (*value != kIn64) continue;
      if (at + 8 > end) throw InputError("the archive is damaged: the zip64 field of '{}' is too short", entry.name);
      *value = file.number<uint64_t>(at);
      at += 8;
    }
    return;
  }
}

/// Moves `at` to the next entry.
Entry read_entry(const Reader& file, uint64_t& at) {
  file.check(at, kEntryBytes);
  if (file.number<uint32_t>(at) != kEntry)
    throw InputError("the archive is damaged: its directory has no entry at {}", at);
  const uint64_t name = file.number<uint16_t>(at + 28), extra = file.number<uint16_t>(at + 30),
                 comment = file.number<uint16_t>(at + 32);
  Entry entry{.name = file.text(at + kEntryBytes, name),
              .stored = file.number<uint16_t>(at + 10) == kStored,
              .bytes = file.number<uint32_t>(at + 24),
              .offset = file.number<uint32_t>(at + 42)};
  uint64_t compressed = file.number<uint32_t>(at + 20);
  file.check(at + kEntryBytes + name, extra);
  read_zip64(file, at + kEntryBytes + name, extra, &compressed, entry);
  if ((file.number<uint16_t>(at + 8) & kEncrypted) != 0)
    throw InputError("member '{}' of the archive is encrypted", entry.name);
  if (entry.stored && compressed != entry.bytes)
    throw InputError("the archive is damaged: stored member '{}' has two sizes, {} and {}", entry.name, compressed,
                     entry.bytes);
  if (!entry.stored) entry.bytes = compressed;
  at += kEntryBytes + name + extra + comment;
  return entry;
}

Member locate(const Reader& file, const Entry& entry) {
  file.check(entry.offset, kLocalBytes);
  if (file.number<uint32_t>(entry.offset) != kLocal)
    throw InputError("the archive is damaged: member '{}' does not lie where the directory says", entry.name);
  const uint64_t skip =
      kLocalBytes + file.number<uint16_t>(entry.offset + 26) + file.number<uint16_t>(entry.offset + 28);
  file.check(entry.offset, skip);
  file.check(entry.offset + skip, entry.bytes);
  return {entry.offset + skip, entry.bytes, entry.stored};
}

}  // namespace

Archive::Archive(std::shared_ptr<ir::Storage> bytes) : bytes_(std::move(bytes)) {
  const Reader file(bytes_->data(), bytes_->size());
  const Directory directory = find_directory(file);
  if (directory.entries > file.size() / kEntryBytes)
    throw InputError("the archive is damaged: it claims {} members", directory.entries);
  uint64_t at = directory.offset;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    const Entry entry = read_entry(file, at);
    const size_t slash = entry.name.find('/');  // all members lie in one folder, named after the file
    std::string name(slash == std::string_view::npos ? entry.name : entry.name.substr(slash + 1));
    const Member member = locate(file, entry);
    if (!members_.emplace(std::move(name), member).second)
      throw InputError("member '{}' stands twice in the archive", entry.name);
  }
}

const Member& Archive::at(const std::string& name) const {
  const auto it = members_.find(name);
  if (it == members_.end()) throw InputError("the archive has no member '{}'", name);
  if (!it->second.stored)
    throw InputError(
        "member '{}' of the archive is compressed: weights are mapped from the file, so members must be stored, as "
        "torch.export.save stores them",
        name);
  return it->second;
}

std::string_view Archive::text(const std::string& name) const {
  const Member& member = at(name);
  return {reinterpret_cast<const char*>(bytes_->data()) + member.offset, member.bytes};
}

std::vector<std::string> Archive::names(std::string_view prefix, std::string_view suffix) const {
  std::vector<std::string> found;
  for (const auto& [name, member] : members_)
    if (name.starts_with(prefix) && name.ends_with(suffix)) found.push_back(name);
  return found;
}

}  // namespace rooftune::frontends::torch_format
