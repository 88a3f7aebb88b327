#include "exporters/stablehlo/spelling.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "ops/common.h"

namespace rooftune::exporters::stablehlo {
namespace {

using ir::DType;

std::string_view element_text(DType dtype) {
  switch (dtype) {
    case DType::f32: return "f32";
    case DType::f64: return "f64";
    case DType::f16: return "f16";
    case DType::bf16: return "bf16";
    case DType::boolean: return "i1";
    case DType::i8: return "i8";
    case DType::i16: return "i16";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
    case DType::u8: return "ui8";
    case DType::u16: return "ui16";
    case DType::u32: return "ui32";
    case DType::u64: return "ui64";
    default: throw InputError("tensors of {} cannot be written as StableHLO", ir::name(dtype));
  }
}

std::string hex_of(const ir::Tensor& t) {
  std::string out = "0x";
  for (size_t i = t.bytes(); i-- > 0;) out += fmt::format("{:02X}", t.raw()[i]);  // a number: highest digits first
  return out;
}

}  // namespace

std::string type_text(DType dtype, const Ints& shape) {
  std::string out = "tensor<";
  for (const int64_t d : shape) out += fmt::format("{}x", d);
  return fmt::format("{}{}>", out, element_text(dtype));
}

std::string type_text(const Val& v) { return type_text(v.dtype, v.shape); }
std::string list(const Ints& values) { return fmt::format("[{}]", fmt::join(values, ", ")); }

std::string array(const Ints& values) {
  return values.empty() ? "array<i64>" : fmt::format("array<i64: {}>", fmt::join(values, ", "));
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > 126)
      out += fmt::format("\\{:02X}", static_cast<unsigned char>(c));
    else out += c;
  }
  return out + "\"";
}

// --- lines

Val Lines::op(const std::string& name, const std::vector<Val>& operands, DType dtype, Ints shape,
              const std::string& attributes, const std::string& regions) {
  Val out{fresh(), dtype, std::move(shape)};
  std::vector<std::string> names, types;
  for (const Val& v : operands) names.push_back(v.name), types.push_back(type_text(v));
  text += fmt::format("    {} = \"{}\"({}) ", out.name, name, fmt::join(names, ", "));
  if (!attributes.empty()) text += "<{" + attributes + "}> ";
  if (!regions.empty()) text += regions + " ";
  text += fmt::format(": ({}) -> {}\n", fmt::join(types, ", "), type_text(out));
  return out;
}

Val Lines::same(const std::string& name, const std::vector<Val>& operands) {
  return op(name, operands, operands[0].dtype, operands[0].shape);
}

Val Lines::splat(DType dtype, const Ints& shape, double value) {
  ir::Tensor one(dtype, {});
  one.set_double(0, value);
  const std::string literal = dtype == DType::boolean ? (value != 0 ? "true" : "false")
                              : ir::is_float(dtype)   ? hex_of(one)
                                                      : fmt::format("{}", one.as_int(0));
  return op("stablehlo.constant", {}, dtype, shape,
            fmt::format("value = dense<{}> : {}", literal, type_text(dtype, shape)));
}

Val Lines::integers(const Ints& values, const Ints& shape) {
  const Ints flat = {static_cast<int64_t>(values.size())};
  const Val v =
      op("stablehlo.constant", {}, DType::i64, flat,
         fmt::format("value = dense<{}> : {}", values.empty() ? "" : list(values), type_text(DType::i64, flat)));
  return reshape(v, shape);
}

Val Lines::broadcast(const Val& v, const Ints& shape, const Ints& dims) {
  if (v.shape == shape) return v;
  return op("stablehlo.broadcast_in_dim", {v}, v.dtype, shape, "broadcast_dimensions = " + array(dims));
}

Val Lines::broadcast(const Val& v, const Ints& shape) {
  Ints dims;
  for (size_t i = 0; i < v.shape.size(); ++i) dims.push_back(static_cast<int64_t>(shape.size() - v.shape.size() + i));
  return broadcast(v, shape, dims);
}

Val Lines::reshape(const Val& v, const Ints& shape) {
  return v.shape == shape ? v : op("stablehlo.reshape", {v}, v.dtype, shape);
}

Val Lines::transpose(const Val& v, const Ints& perm) {
  Ints shape;
  for (const int64_t p : perm) shape.push_back(v.shape[static_cast<size_t>(p)]);
  return std::is_sorted(perm.begin(), perm.end())
             ? v
             : op("stablehlo.transpose", {v}, v.dtype, shape, "permutation = " + array(perm));
}

Val Lines::convert(const Val& v, DType dtype) {
  return v.dtype == dtype ? v : op("stablehlo.convert", {v}, dtype, v.shape);
}

Val Lines::slice(const Val& v, const Ints& starts, const Ints& ends, const Ints& steps) {
  Ints shape;
  for (size_t i = 0; i < starts.size(); ++i) shape.push_back((ends[i] - starts[i] + steps[i] - 1) / steps[i]);
  if (shape == v.shape) return v;
  return op(
      "stablehlo.slice", {v}, v.dtype, shape,
      fmt::format("start_indices = {}, limit_indices = {}, strides = {}", array(starts), array(ends), array(steps)));
}

Val Lines::concatenate(const std::vector<Val>& parts, int64_t axis) {
  if (parts.size() == 1) return parts[0];
  Ints shape = parts[0].shape;
  for (size_t i = 1; i < parts.size(); ++i)
    shape[static_cast<size_t>(axis)] += parts[i].shape[static_cast<size_t>(axis)];
  return op("stablehlo.concatenate", parts, parts[0].dtype, shape, fmt::format("dimension = {} : i64", axis));
}

Val Lines::pad(const Val& v, const Ints& low, const Ints& high, const Val& fill) {
  Ints shape = v.shape;
  for (size_t i = 0; i < shape.size(); ++i) shape[i] += low[i] + high[i];
  return op("stablehlo.pad", {v, fill}, v.dtype, shape,
            fmt::format("edge_padding_low = {}, edge_padding_high = {}, interior_padding = {}", array(low), array(high),
                        array(Ints(shape.size(), 0))));
}

Val Lines::compare(const std::string& direction, const Val& a, const Val& b) {
  return op("stablehlo.compare", {a, b}, DType::boolean, a.shape,
            fmt::format("comparison_direction = #stablehlo<comparison_direction {}>", direction));
}

Val Lines::select(const Val& predicate, const Val& a, const Val& b) {
  return op("stablehlo.select", {predicate, a, b}, a.dtype, a.shape);
}

Val Lines::neutral(const std::string& body, DType dtype) {
  if (body == "add" || body == "or") return splat(dtype, {}, 0);
  if (body == "multiply" || body == "and") return splat(dtype, {}, 1);
  const bool max = body == "maximum";
  if (ir::is_float(dtype)) {
    const double infinity = std::numeric_limits<double>::infinity();
    return splat(dtype, {}, max ? -infinity : infinity);
  }
  const int bits = ir::bit_width(dtype);
  const bool sign = ir::is_signed(dtype);
  const std::string least = !sign        ? "0"
                            : bits == 64 ? "-9223372036854775808"
                                         : std::to_string(-(int64_t{1} << (bits - 1)));
  const uint64_t most = (bits == 64 ? UINT64_MAX : (uint64_t{1} << bits) - 1) >> (sign ? 1 : 0);
  return op("stablehlo.constant", {}, dtype, {},
            fmt::format("value = dense<{}> : {}", max ? least : std::to_string(most), type_text(dtype, {})));
}

namespace {

/// The region that combines two scalars.
std::string region(Lines& lines, const std::string& body, DType dtype) {
  const std::string a = lines.fresh(), b = lines.fresh(), r = lines.fresh(), t = type_text(dtype, {});
  return fmt::format(
      "({{\n    ^bb0({0}: {3}, {1}: {3}):\n      {2} = \"stablehlo.{4}\"({0}, {1}) : ({3}, {3}) -> {3}\n"
      "      \"stablehlo.return\"({2}) : ({3}) -> ()\n    }})",
      a, b, r, t, body);
}

}  // namespace

Val Lines::reduce(const std::string& body, const Val& v, const Ints& axes) {
  if (axes.empty()) return v;
  Ints shape;
  for (int64_t i = 0; i < v.rank(); ++i)
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) shape.push_back(v.shape[static_cast<size_t>(i)]);
  const Val init = neutral(body, v.dtype);
  const std::string inner = region(*this, body, v.dtype);
  return op("stablehlo.reduce", {v, init}, v.dtype, shape, "dimensions = " + array(axes), inner);
}

Val Lines::reduce_window(const std::string& body, const Val& v, const Ints& shape, const Ints& window,
                         const Ints& strides, const Ints& dilations, const Ints& low, const Ints& high) {
  const Val init = neutral(body, v.dtype);
  const std::string inner = region(*this, body, v.dtype);
  std::vector<std::string> pads;
  for (size_t i = 0; i < low.size(); ++i) pads.push_back(fmt::format("[{}, {}]", low[i], high[i]));
  return op("stablehlo.reduce_window", {v, init}, v.dtype, shape,
            fmt::format("window_dimensions = {}, window_strides = {}, window_dilations = {}, padding = dense<[{}]> : "
                        "tensor<{}x2xi64>",
                        array(window), array(strides), array(dilations), fmt::join(pads, ", "), pads.size()),
            inner);
}

// --- one node

Val Spelling::in(size_t i) const {
  const ir::ValueId id = node_.input(i);
  const auto it = values_.find(id);
  if (id == ir::kNone || it == values_.end()) fail(fmt::format("its input {} is absent", i));
  return it->second;
}

Ints Spelling::ints(size_t i, const char* what) const {
  const ir::Tensor* t = constant(i);
  if (!t) fail(fmt::format("its {} must be constant to be written as StableHLO", what));
  return t->as_ints();
}

ir::DType Spelling::out_dtype(size_t i) const { return graph_.type(node_.outputs[i]).dtype(); }

Ints Spelling::out_shape(size_t i) const {
  const ir::Type& type = graph_.type(node_.outputs[i]);
  if (!type.is_static())
    fail(fmt::format("its output is {}: shapes must be static to be written as StableHLO", type.to_string()));
  return ir::static_values(type.shape());
}

void Spelling::set(const Val& v, size_t i) {
  if (!wants(i)) return;
  RT_CHECK(v.dtype == out_dtype(i) && v.shape == out_shape(i), "{}: output {} is {}, written as {}", node_.label(), i,
           graph_.type(node_.outputs[i]).to_string(), type_text(v));
  values_[node_.outputs[i]] = v;
}

int64_t Spelling::axis(int64_t axis, int rank) const { return ops::normalize_axis(node_, axis, rank); }

void Spelling::fail(const std::string& what) const { throw InputError("{}: {}", node_.label(), what); }

void Spelling::require_one_output() const {
  for (size_t i = 1; i < node_.outputs.size(); ++i)
    if (wants(i)) fail(fmt::format("its output {} cannot be written as StableHLO", i));
}

}  // namespace rooftune::exporters::stablehlo
