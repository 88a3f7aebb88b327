#include "pipeline/data.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "ir/npy.h"

namespace rooftune::pipeline {
namespace {

constexpr const char* kLabels = "labels";

/// Little-endian reading that stays inside of the file.
class Bytes {
 public:
  Bytes(std::string_view all, const std::string& path) : all_(all), path_(path) {}
  uint64_t number(size_t at, size_t width) const {
    const auto part = slice(at, width);
    uint64_t value = 0;
    for (size_t i = width; i-- > 0;) value = value << 8 | static_cast<unsigned char>(part[i]);
    return value;
  }
  std::string_view slice(size_t at, size_t length) const {
    if (at > all_.size() || length > all_.size() - at) throw InputError("{}: not a whole .npz file", path_);
    return all_.substr(at, length);
  }
  size_t size() const { return all_.size(); }

 private:
  std::string_view all_;
  const std::string& path_;
};

/// Where the list of a zip archive's members stands: near the end, before a comment of at most 64 KiB.
size_t find_end_record(const Bytes& bytes, const std::string& path) {
  constexpr size_t kRecord = 22, kMostComment = 65535;
  if (bytes.size() >= kRecord)
    for (size_t at = bytes.size() - kRecord, tried = 0; tried <= kMostComment; --at, ++tried) {
      if (bytes.number(at, 4) == 0x06054b50) return at;
      if (at == 0) break;
    }
  throw InputError("{}: not a whole .npz file", path);
}

std::string inflate_member(std::string_view packed, size_t size, const std::string& what) {
  std::string out(size, '\0');
  z_stream stream{};
  if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw EnvironmentError("{}: zlib does not start", what);
  size_t fed = 0, made = 0;
  int state = Z_OK;
  while (state == Z_OK) {  // zlib counts in 32 bits
    const auto in = static_cast<uInt>(std::min<size_t>(packed.size() - fed, 1U << 30));
    const auto room = static_cast<uInt>(std::min<size_t>(size - made, 1U << 30));
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + fed));
    stream.avail_in = in;
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + made);
    stream.avail_out = room;
    state = ::inflate(&stream, Z_NO_FLUSH);
    fed += in - stream.avail_in;
    made += room - stream.avail_out;
  }
  ::inflateEnd(&stream);
  if (state != Z_STREAM_END || made != size) throw InputError("{}: the compressed data are damaged", what);
  return out;
}

uint64_t checksum(std::string_view data) {
  uLong crc = ::crc32(0, nullptr, 0);
  for (size_t at = 0; at < data.size();) {
    const size_t n = std::min<size_t>(data.size() - at, 1U << 30);
    crc = ::crc32(crc, reinterpret_cast<const Bytef*>(data.data() + at), static_cast<uInt>(n));
    at += n;
  }
  return crc;
}

/// One sample of an array: `count` samples lie one after the other.
ir::Tensor sample_of(const ir::Tensor& all, const std::vector<int64_t>& shape, int64_t index, int64_t count) {
  if (count == 1) return all.shape() == shape ? all : all.reshaped(shape);
  ir::Tensor one(all.dtype(), shape);
  if (one.bytes() > 0) std::memcpy(one.raw(), all.raw() + static_cast<size_t>(index) * one.bytes(), one.bytes());
  return one;
}

/// How many samples of `shape` the array holds; -1 where it does not fit.
int64_t count_samples(const std::vector<int64_t>& array, const std::vector<int64_t>& shape) {
  if (array == shape) return 1;
  if (array.size() == shape.size() + 1 && std::equal(shape.begin(), shape.end(), array.begin() + 1)) return array[0];
  if (array.size() == shape.size() && !shape.empty() && shape[0] > 0 && array[0] % shape[0] == 0 &&
      std::equal(shape.begin() + 1, shape.end(), array.begin() + 1))
    return array[0] / shape[0];
  return -1;
}

}  // namespace

std::map<std::string, ir::Tensor> read_npz(const std::string& path) {
  const auto file = MappedFile::open(path);
  const Bytes bytes(file->text(), path);
  const size_t end = find_end_record(bytes, path);
  const uint64_t members = bytes.number(end + 10, 2);
  size_t at = bytes.number(end + 16, 4);
  if (members == 0xFFFF || at == 0xFFFFFFFF)
    throw InputError("{}: archives over 4 GB are not accepted; use several", path);
  std::map<std::string, ir::Tensor> arrays;
  for (uint64_t m = 0; m < members; ++m) {
    if (bytes.number(at, 4) != 0x02014b50) throw InputError("{}: the archive's list of arrays is damaged", path);
    const uint64_t method = bytes.number(at + 10, 2), crc = bytes.number(at + 16, 4);
    const uint64_t packed = bytes.number(at + 20, 4), size = bytes.number(at + 24, 4),
                   header = bytes.number(at + 42, 4);
    const uint64_t name_length = bytes.number(at + 28, 2);
    std::string name(bytes.slice(at + 46, name_length));
    at += 46 + name_length + bytes.number(at + 30, 2) + bytes.number(at + 32, 2);
    if (!name.ends_with(".npy")) throw InputError("{}: member '{}' is not an array (.npy)", path, name);
    name.resize(name.size() - 4);
    const std::string what = path + ": array '" + name + "'";
    if (packed == 0xFFFFFFFF || size == 0xFFFFFFFF) throw InputError("{} has over 4 GB", what);
    const size_t data = header + 30 + bytes.number(header + 26, 2) + bytes.number(header + 28, 2);
    std::string_view content = bytes.slice(data, packed);
    std::string unpacked;
    if (method == 8) {
      constexpr uint64_t kMostRatio = 1100;  // deflate can do no better
      if (size > packed * kMostRatio + 64) throw InputError("{}: the compressed data are damaged", what);
      content = unpacked = inflate_member(content, size, what);
    } else if (method != 0 || packed != size) {
      throw InputError("{} is packed by method {}; stored and deflated are accepted", what, method);
    }
    if (checksum(content) != crc) throw InputError("{}: the data are damaged", what);
    arrays[name] = ir::parse_npy(content, what);
  }
  return arrays;
}

Data read_data(const ir::Graph& graph, const std::string& path) {
  auto arrays = read_npz(path);
  std::vector<std::string> names;
  for (ir::ValueId v : graph.inputs) names.push_back(graph.value(v).name);
  Data data;
  if (const auto labels = arrays.find(kLabels);
      labels != arrays.end() && std::find(names.begin(), names.end(), kLabels) == names.end()) {
    if (!ir::is_integer(labels->second.dtype()) || labels->second.size() == 0)
      throw InputError("{}: array '{}' holds {} numbers of type {}; it must hold the right classes as integers", path,
                       kLabels, labels->second.size(), ir::numpy_name(labels->second.dtype()));
    data.labels = labels->second.as_ints();
    arrays.erase(labels);
  }
  for (const auto& [name, array] : arrays)
    if (std::find(names.begin(), names.end(), name) == names.end())
      throw InputError("{}: the model has no input '{}'; it has {} (and '{}' may hold the right classes)", path, name,
                       fmt::join(names, ", "), kLabels);
  auto& samples = data.samples;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto found = arrays.find(names[i]);
    if (found == arrays.end()) throw InputError("{}: the model's input '{}' is missing", path, names[i]);
    const auto& type = graph.type(graph.inputs[i]);
    if (found->second.dtype() != type.dtype())
      throw InputError("{}: array '{}' holds {}, the model takes {}", path, names[i],
                       ir::numpy_name(found->second.dtype()), ir::numpy_name(type.dtype()));
    if (!type.is_static())
      throw InputError(
          "{}: the model's input '{}' has shape {}: --data takes samples of one size, give its free dimensions as "
          "numbers (--dim)",
          path, names[i], ir::to_string(type.shape()));
    const auto shape = ir::static_values(type.shape());
    const int64_t count = count_samples(found->second.shape(), shape);
    if (count < 1)
      throw InputError("{}: array '{}' has shape {}, the model takes {} (or several of them along a new first axis)",
                       path, names[i], ir::to_string(ir::to_shape(found->second.shape())), ir::to_string(type.shape()));
    if (i == 0) samples.resize(static_cast<size_t>(count));
    if (samples.size() != static_cast<size_t>(count))
      throw InputError("{}: array '{}' has {} samples, '{}' has {}", path, names[i], count, names[0], samples.size());
    for (size_t s = 0; s < samples.size(); ++s)
      samples[s].push_back(sample_of(found->second, shape, static_cast<int64_t>(s), count));
  }
  if (data.labels.size() % std::max<size_t>(1, samples.size()) != 0)
    throw InputError("{}: array '{}' has {} numbers, there are {} samples", path, kLabels, data.labels.size(),
                     samples.size());
  return data;
}

}  // namespace rooftune::pipeline
