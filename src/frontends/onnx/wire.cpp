#include "frontends/onnx/wire.h"

#include <cstring>

#include "base/error.h"

namespace rooftune::frontends::onnx_format {
namespace {

constexpr int kMostNesting = 90;  // below protobuf's own limit of 100

enum class Message : uint8_t { leaf, model, graph, node, attribute, tensor, function, raw_data, dropped };

/// What stands in a field of a message, by the numbers of onnx.proto.
Message child(Message message, uint64_t field) {
  switch (message) {
    case Message::model:
      return field == 7    ? Message::graph
             : field == 25 ? Message::function
             : field == 20 ? Message::dropped
                           : Message::leaf;
    case Message::graph: return field == 1 ? Message::node : field == 5 ? Message::tensor : Message::leaf;
    case Message::node: return field == 5 ? Message::attribute : Message::leaf;
    case Message::attribute:
      if (field == 5 || field == 10) return Message::tensor;
      return field == 6 || field == 11 ? Message::graph : Message::leaf;
    case Message::function: return field == 7 ? Message::node : field == 11 ? Message::attribute : Message::leaf;
    case Message::tensor: return field == 9 ? Message::raw_data : Message::leaf;
    default: return Message::leaf;
  }
}

class Cutter {
 public:
  explicit Cutter(std::string_view model) : model_(model) {}

  std::string message(Message kind, size_t at, size_t end, int depth) {
    if (depth > kMostNesting) fail(at, "messages are nested too deeply");
    std::string out;
    while (at < end) {
      const size_t start = at;
      const uint64_t tag = varint(at, end);
      const uint64_t field = tag >> 3;
      if (field == 0 || field > (1u << 29) - 1) fail(start, "an invalid field number");
      switch (tag & 7) {
        case 0: varint(at, end); break;
        case 1: skip(at, end, 8); break;
        case 5: skip(at, end, 4); break;
        case 2: {
          const uint64_t length = varint(at, end);
          const size_t content = at;
          skip(at, end, length);
          const Message inner = child(kind, field);
          if (inner == Message::dropped) continue;
          if (inner == Message::leaf) break;
          append_varint(out, tag);
          if (inner == Message::raw_data) {
            const RawSpan span{content, length};
            append_varint(out, sizeof span);
            out.append(reinterpret_cast<const char*>(&span), sizeof span);
          } else {
            const std::string nested = message(inner, content, at, depth + 1);
            append_varint(out, nested.size());
            out += nested;
          }
          continue;
        }
        default: fail(start, "an unknown wire type");
      }
      out.append(model_.substr(start, at - start));
    }
    return out;
  }

 private:
  [[noreturn]] static void fail(size_t at, std::string_view what) {
    throw InputError("not an ONNX model, or a damaged one: {} at byte {}", what, at);
  }

  uint64_t varint(size_t& at, size_t end) const {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at >= end) fail(at, "a number is cut off");
      const auto byte = static_cast<uint8_t>(model_[at++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail(at, "a number is too long");
  }

  static void skip(size_t& at, size_t end, uint64_t bytes) {
    if (bytes > end - at) fail(at, fmt::format("a field of {} bytes is cut off", bytes));
    at += bytes;
  }

  static void append_varint(std::string& out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
    out += static_cast<char>(value);
  }

  std::string_view model_;
};

}  // namespace

RawSpan raw_span(const std::string& raw_data) {
  RawSpan span;
  RT_CHECK(raw_data.size() == sizeof span);
  std::memcpy(&span, raw_data.data(), sizeof span);
  return span;
}

std::string skeleton(std::string_view model) {
  if (model.empty()) throw InputError("the file is empty");
  return Cutter(model).message(Message::model, 0, model.size(), 0);
}

}  // namespace rooftune::frontends::onnx_format
