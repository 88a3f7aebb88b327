#include "ir/npy.h"

#include <array>
#include <cstring>
#include <regex>

#include "base/files.h"

namespace rooftune::ir {
namespace {

struct Name {
  const char* descr;
  DType dtype;
  const char* numpy;
};
constexpr std::array<Name, 14> kNames = {{{"<f4", DType::f32, "float32"},
                                          {"<f8", DType::f64, "float64"},
                                          {"<f2", DType::f16, "float16"},
                                          {"<i8", DType::i64, "int64"},
                                          {"<i4", DType::i32, "int32"},
                                          {"<i2", DType::i16, "int16"},
                                          {"|i1", DType::i8, "int8"},
                                          {"<u8", DType::u64, "uint64"},
                                          {"<u4", DType::u32, "uint32"},
                                          {"<u2", DType::u16, "uint16"},
                                          {"|u1", DType::u8, "uint8"},
                                          {"|b1", DType::boolean, "bool"},
                                          {"<c8", DType::c64, "complex64"},
                                          {"<c16", DType::c128, "complex128"}}};

class MappedStorage : public Storage {
 public:
  MappedStorage(std::shared_ptr<MappedFile> file, size_t at) : file_(std::move(file)), at_(at) {}
  uint8_t* data() override { return file_->data() + at_; }
  size_t size() const override { return file_->size() - at_; }

 private:
  std::shared_ptr<MappedFile> file_;
  size_t at_;
};

struct Header {
  DType dtype = DType::undefined;
  std::vector<int64_t> shape;
  size_t at = 0, bytes = 0;  // of the data, all of which is there
};

Header parse_header(std::string_view text, const std::string& path) {
  if (text.size() < 10 || text.substr(0, 6) != std::string_view("\x93NUMPY", 6))
    throw InputError("{}: not a .npy file", path);
  const int major = static_cast<unsigned char>(text[6]);
  size_t length = 0, start = 10;
  if (major == 1) {
    length = static_cast<unsigned char>(text[8]) + 256u * static_cast<unsigned char>(text[9]);
  } else if (major == 2 || major == 3) {
    if (text.size() < 12) throw InputError("{}: the .npy header is cut off", path);
    for (size_t i = 0; i < 4; ++i) length |= static_cast<size_t>(static_cast<unsigned char>(text[8 + i])) << (8 * i);
    start = 12;
  } else {
    throw InputError("{}: .npy format version {} is unknown; 1 to 3 are accepted", path, major);
  }
  if (length > text.size() - start) throw InputError("{}: the .npy header is cut off", path);
  // NumPy refuses longer ones, too, and a search by regular expression uses stack by the character.
  constexpr size_t most = 10000;
  if (length > most) throw InputError("{}: the .npy header has {} bytes; at most {} are accepted", path, length, most);
  const std::string header(text.substr(start, length));
  std::smatch found;
  if (!std::regex_search(header, found, std::regex("'descr': *'([^']*)'")))
    throw InputError("{}: the .npy header names no single type", path);
  const std::string descr = found[1];
  DType dtype = DType::undefined;
  for (const auto& name : kNames)
    if (descr == name.descr) dtype = name.dtype;
  if (dtype == DType::undefined)
    throw InputError("{}: elements of type '{}' are not accepted; numbers and booleans in little-endian order are",
                     path, descr);
  if (!std::regex_search(header, found, std::regex("'fortran_order': *(True|False)")))
    throw InputError("{}: the .npy header lacks fortran_order", path);
  if (found[1] == "True") throw InputError("{}: Fortran order is not accepted; save numpy.ascontiguousarray(x)", path);
  if (!std::regex_search(header, found, std::regex("'shape': *\\(([0-9, ]*)\\)")))
    throw InputError("{}: the .npy header lacks a shape", path);
  std::vector<int64_t> shape;
  const std::string dims = found[1];
  const std::regex number("[0-9]+");
  __int128 elements = 1;
  for (auto it = std::sregex_iterator(dims.begin(), dims.end(), number); it != std::sregex_iterator(); ++it) {
    if (it->str().size() > 18) throw InputError("{}: dimension {} is absurd", path, it->str());
    shape.push_back(std::stoll(it->str()));
    elements *= shape.back();
    if (elements > (__int128{1} << 60)) throw InputError("{}: the shape has too many elements", path);
  }
  const size_t bytes = byte_size(dtype, static_cast<size_t>(elements));
  const size_t at = start + length;
  if (text.size() - at < bytes) throw InputError("{}: {} bytes of data are missing", path, bytes - (text.size() - at));
  return {dtype, shape, at, bytes};
}

Tensor copy_data(const Header& header, std::string_view text) {
  Tensor tensor(header.dtype, header.shape);
  if (header.bytes > 0) std::memcpy(tensor.raw(), text.data() + header.at, header.bytes);
  return tensor;
}

}  // namespace

std::string numpy_name(DType dtype) {
  for (const auto& name : kNames)
    if (name.dtype == dtype) return name.numpy;
  return std::string(name(dtype));
}

Tensor read_npy(const std::string& path) {
  auto file = MappedFile::open(path);
  const Header header = parse_header(file->text(), path);
  if (header.at % 64 == 0) return Tensor(header.dtype, header.shape, std::make_shared<MappedStorage>(file, header.at));
  return copy_data(header, file->text());
}

Tensor parse_npy(std::string_view bytes, const std::string& source) {
  return copy_data(parse_header(bytes, source), bytes);
}

void write_npy(const std::string& path, const Tensor& tensor) {
  Tensor out = tensor;
  std::string descr;
  for (const auto& name : kNames)
    if (name.dtype == tensor.dtype()) descr = name.descr;
  if (descr.empty()) {
    if (!is_float(tensor.dtype()) && !is_integer(tensor.dtype()))
      throw InputError("{}: {} tensors cannot be written as .npy", path, name(tensor.dtype()));
    const bool real = is_float(tensor.dtype());
    out = Tensor(real ? DType::f32 : DType::i8, tensor.shape());
    for (int64_t i = 0; i < tensor.size(); ++i) out.set_double(i, tensor.as_double(i));
    descr = real ? "<f4" : "|i1";
  }
  std::string shape;
  for (int64_t d : out.shape()) shape += std::to_string(d) + ",";
  std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  AtomicFile file(path);
  const char magic[8] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0};
  file.write(magic, 8);
  const unsigned char length[2] = {static_cast<unsigned char>(header.size() & 255),
                                   static_cast<unsigned char>(header.size() >> 8)};
  file.write(length, 2);
  file.write(header);
  if (out.bytes() > 0) file.write(out.raw(), out.bytes());
  file.commit();
}

}  // namespace rooftune::ir
