#include "frontends/onnx/values.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <span>

#include "frontends/onnx/wire.h"
#include "frontends/utf8.h"
#include "ir/mapped.h"

namespace rooftune::frontends::onnx_format {
namespace {

using ir::DType;
using ir::Tensor;

/// The typed field that a dtype uses when its data is not raw, as a name and the number of entries expected there.
struct TypedField {
  const char* name;
  int64_t expected;
  int64_t given;
};

TypedField typed_field(const onnx::TensorProto& proto, DType dtype, int64_t count) {
  const auto bytes = static_cast<int64_t>(ir::byte_size(dtype, static_cast<size_t>(count)));
  switch (dtype) {
    case DType::f32: return {"float_data", count, proto.float_data_size()};
    case DType::c64: return {"float_data", 2 * count, proto.float_data_size()};
    case DType::f64: return {"double_data", count, proto.double_data_size()};
    case DType::c128: return {"double_data", 2 * count, proto.double_data_size()};
    case DType::i64: return {"int64_data", count, proto.int64_data_size()};
    case DType::u32:
    case DType::u64: return {"uint64_data", count, proto.uint64_data_size()};
    case DType::string: return {"string_data", count, proto.string_data_size()};
    default: return {"int32_data", ir::bit_width(dtype) < 8 ? bytes : count, proto.int32_data_size()};
  }
}

/// Stores int32_data as `bits`-bit values; InputError where one does not fit.
void narrow(const onnx::TensorProto& proto, Tensor& t, int64_t lo, int64_t hi, size_t bytes, const std::string& what) {
  for (int i = 0; i < proto.int32_data_size(); ++i) {
    const int32_t v = proto.int32_data(i);
    if (v < lo || v > hi) throw InputError("{}: int32_data[{}] is {}, which is no {}", what, i, v, name(t.dtype()));
    std::memcpy(t.raw() + static_cast<size_t>(i) * bytes, &v, bytes);  // little-endian: the low bytes come first
  }
}

Tensor from_typed_field(const onnx::TensorProto& proto, DType dtype, std::vector<int64_t> shape,
                        const std::string& what) {
  const int64_t count = ir::checked_element_count(shape);
  const TypedField field = typed_field(proto, dtype, count);
  const int64_t all = int64_t{proto.float_data_size()} + proto.double_data_size() + proto.int32_data_size() +
                      proto.int64_data_size() + proto.uint64_data_size() + proto.string_data_size();
  if (field.given != field.expected || all != field.given)
    throw InputError("{}: {}[{}] needs {} entries in {} and none elsewhere, found {} there and {} elsewhere", what,
                     name(dtype), fmt::join(shape, ","), field.expected, field.name, field.given, all - field.given);
  if (dtype == DType::string)
    return Tensor::of_strings(std::move(shape), {proto.string_data().begin(), proto.string_data().end()});
  Tensor t(dtype, std::move(shape));
  const auto copy = [&t](const auto& values) {
    if (t.bytes() > 0) std::memcpy(t.raw(), values.data(), t.bytes());
  };
  switch (dtype) {
    case DType::f32:
    case DType::c64: copy(proto.float_data()); break;
    case DType::f64:
    case DType::c128: copy(proto.double_data()); break;
    case DType::i64: copy(proto.int64_data()); break;
    case DType::u64: copy(proto.uint64_data()); break;
    case DType::i32: copy(proto.int32_data()); break;
    case DType::u32:
      for (int i = 0; i < proto.uint64_data_size(); ++i) {
        if (proto.uint64_data(i) > UINT32_MAX)
          throw InputError("{}: uint64_data[{}] is {}, which is no u32", what, i, proto.uint64_data(i));
        t.data<uint32_t>()[i] = static_cast<uint32_t>(proto.uint64_data(i));
      }
      break;
    case DType::i16: narrow(proto, t, INT16_MIN, INT16_MAX, 2, what); break;
    case DType::i8: narrow(proto, t, INT8_MIN, INT8_MAX, 1, what); break;
    case DType::boolean: narrow(proto, t, 0, 1, 1, what); break;
    case DType::u16:
    case DType::f16:
    case DType::bf16: narrow(proto, t, 0, UINT16_MAX, 2, what); break;
    // 4- and 2-bit types stand in packed bytes, which some writers sign-extend.
    case DType::i4:
    case DType::u4:
    case DType::i2:
    case DType::u2:
    case DType::f4e2m1: narrow(proto, t, INT8_MIN, UINT8_MAX, 1, what); break;
    default: narrow(proto, t, 0, UINT8_MAX, 1, what); break;
  }
  return t;
}

uint64_t parse_number(const std::string& text, std::string_view key, const std::string& what) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    throw InputError("{}: external_data '{}' is '{}', expected a number", what, key, text);
  return value;
}

/// Exporters write "past + 1" for what depends on other dimensions, but a name may hold any characters.
ir::Dim to_dim(const std::string& text, const std::set<std::string>& known) {
  if (known.count(text)) return ir::Dim::symbol(text);
  try {
    ir::Dim d = ir::Dim::parse(text);
    const std::vector<std::string> symbols = d.symbols();
    const bool all_known =
        std::all_of(symbols.begin(), symbols.end(), [&](const std::string& s) { return known.count(s) > 0; });
    if (!symbols.empty() && all_known) return d;
  } catch (const InputError&) {  // no expression
  }
  return ir::Dim::symbol(text);
}

bool is_inside(const std::filesystem::path& file, const std::filesystem::path& folder) {
  const auto relative = file.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != "..";
}

}  // namespace

const std::string& check_text(const std::string& text, std::string_view what) {
  if (!is_utf8(text))
    throw InputError("{} is not UTF-8: {}", what,
                     fmt::format("{:02x}", fmt::join(std::span(reinterpret_cast<const uint8_t*>(text.data()),
                                                               std::min<size_t>(text.size(), 32)),
                                                     " ")));
  return text;
}

DType to_dtype(int onnx_type, std::string_view what) {
  if (onnx_type <= 0 || onnx_type > static_cast<int>(DType::i2))
    throw InputError("{}: element type {} is {}; 1 to {} of onnx.TensorProto.DataType are accepted", what, onnx_type,
                     onnx_type == 0 ? "missing" : "not supported", static_cast<int>(DType::i2));
  return static_cast<DType>(onnx_type);
}

ir::Type to_type(const onnx::TypeProto& proto, const std::string& value, const DimNames& names) {
  switch (proto.value_case()) {
    case onnx::TypeProto::kSequenceType:
      return ir::Type::sequence(to_type(proto.sequence_type().elem_type(), value, names));
    case onnx::TypeProto::kOptionalType:
      return ir::Type::optional(to_type(proto.optional_type().elem_type(), value, names));
    case onnx::TypeProto::kTensorType: break;
    case onnx::TypeProto::VALUE_NOT_SET: return {};
    default:
      throw InputError(
          "value '{}': only tensors, sequences and optionals are supported, not maps, sparse or opaque types", value);
  }
  const auto& tensor = proto.tensor_type();
  const DType dtype = to_dtype(tensor.elem_type(), fmt::format("value '{}'", value));
  if (!tensor.has_shape()) return ir::Type::tensor(dtype);
  ir::Shape shape;
  for (int i = 0; i < tensor.shape().dim_size(); ++i) {
    const auto& dim = tensor.shape().dim(i);
    if (dim.has_dim_value()) {
      if (dim.dim_value() < 0)
        throw InputError(
            "value '{}': dimension {} is {}; a size that is not known must have a name (dim_param) or nothing", value,
            i, dim.dim_value());
      shape.emplace_back(dim.dim_value());
    } else if (!dim.dim_param().empty()) {
      shape.push_back(to_dim(check_text(dim.dim_param(), fmt::format("value '{}': the name of dimension {}", value, i)),
                             names.symbols));
    } else if (names.name_unknown) {
      shape.push_back(ir::Dim::symbol(fmt::format("{}_dim{}", value, i)));
    } else {
      return ir::Type::tensor(dtype);
    }
  }
  return ir::Type::tensor(dtype, std::move(shape));
}

Tensor TensorReader::read(const onnx::TensorProto& proto, const std::string& what) {
  const DType dtype = to_dtype(proto.data_type(), what);
  if (proto.has_segment()) throw InputError("{}: segmented tensors are not supported", what);
  std::vector<int64_t> shape(proto.dims().begin(), proto.dims().end());
  int64_t count = 0;
  try {
    count = ir::checked_element_count(shape);
  } catch (const InputError& e) {
    throw InputError("{}: {}", what, e.what());
  }
  if (proto.data_location() == onnx::TensorProto::EXTERNAL) return external(proto, dtype, std::move(shape), what);
  if (!proto.has_raw_data()) return from_typed_field(proto, dtype, std::move(shape), what);
  const RawSpan span = raw_span(proto.raw_data());
  const size_t expected = ir::byte_size(dtype, static_cast<size_t>(count));
  if (span.bytes == 0 && count > 0)
    return from_typed_field(proto, dtype, std::move(shape), what);  // some writers leave it empty
  if (dtype == DType::string) throw InputError("{}: strings cannot be raw_data", what);
  if (span.bytes != expected)
    throw InputError("{}: raw_data has {} bytes, {}[{}] needs {}", what, span.bytes, name(dtype), fmt::join(shape, ","),
                     expected);
  return at(dtype, std::move(shape), model_, span.offset);
}

Tensor TensorReader::at(DType dtype, std::vector<int64_t> shape, const std::shared_ptr<ir::Storage>& storage,
                        size_t offset) {
  Tensor mapped(dtype, std::move(shape), storage, offset);
  const auto alignment = static_cast<uintptr_t>(std::clamp(ir::bit_width(dtype) / 8, 1, 8));
  if (reinterpret_cast<uintptr_t>(mapped.raw()) % alignment == 0) return mapped;
  Tensor copy = mapped.clone();
  ir::release(mapped);  // or crooked weights would be in memory twice
  return copy;
}

const std::shared_ptr<ir::Storage>& TensorReader::open(const std::string& location, const std::string& what) {
  if (const auto it = files_.find(location); it != files_.end()) return it->second;
  namespace fs = std::filesystem;
  const fs::path relative(check_text(location, what + ": location of external data"));
  if (location.empty() || location.find('\0') != std::string::npos)
    throw InputError("{}: external_data has no location", what);
  if (model_path_.empty()) throw InputError("{}: external data needs a model that lies in a file", what);
  bool outside = relative.is_absolute();
  for (const fs::path& part : relative) outside |= part == "..";
  const fs::path path = fs::path(model_path_).parent_path() / relative;
  std::error_code error;
  const fs::path file = fs::canonical(path, error);
  if (outside) throw InputError("{}: external data '{}' must lie in the model's folder", what, location);
  if (error) throw InputError("{}: external data '{}': {}", what, path.string(), error.message());
  if (!fs::is_regular_file(file, error)) throw InputError("{}: external data '{}' is not a file", what, path.string());
  // A link may lead only into the model's folder, or to where the model is itself a link to (as in download caches).
  const fs::path parent = fs::path(model_path_).parent_path();
  if (!is_inside(file, fs::canonical(parent.empty() ? "." : parent, error)) &&
      !is_inside(file, fs::canonical(model_path_, error).parent_path()))
    throw InputError("{}: external data '{}' is a link out of the model's folder", what, location);
  return files_.emplace(location, ir::map_file(file.string())).first->second;
}

Tensor TensorReader::external(const onnx::TensorProto& proto, DType dtype, std::vector<int64_t> shape,
                              const std::string& what) {
  if (dtype == DType::string) throw InputError("{}: strings cannot be external data", what);
  std::string location;
  uint64_t offset = 0;
  const uint64_t expected = ir::byte_size(dtype, static_cast<size_t>(ir::checked_element_count(shape)));
  uint64_t length = expected;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = parse_number(entry.value(), "offset", what);
    if (entry.key() == "length") length = parse_number(entry.value(), "length", what);
  }
  if (length != expected)
    throw InputError("{}: external_data has {} bytes, {}[{}] needs {}", what, length, name(dtype),
                     fmt::join(shape, ","), expected);
  const auto& storage = open(location, what);
  if (offset > storage->size() || length > storage->size() - offset)
    throw InputError("{}: external data '{}' has {} bytes, the tensor's lie at {} to {}", what, location,
                     storage->size(), offset, static_cast<double>(offset) + static_cast<double>(length));
  return at(dtype, std::move(shape), storage, offset);
}

}  // namespace rooftune::frontends::onnx_format
