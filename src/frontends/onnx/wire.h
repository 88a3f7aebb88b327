// Cuts the weights out of a serialised model before protobuf sees it. Protobuf would copy every TensorProto.raw_data to
// the heap and refuses files of 2 GB and more; here raw_data is replaced by its place in the file, and what remains is
// small. Training information is dropped.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace rooftune::frontends::onnx_format {

/// Where the raw_data of a tensor lies; stands as the 16 bytes of raw_data in the skeleton.
struct RawSpan {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};
RawSpan raw_span(const std::string& raw_data);

/// The ModelProto without weights. InputError naming the byte where `model` is no well-formed message, or nested deeper
/// than any real model.
std::string skeleton(std::string_view model);

}  // namespace rooftune::frontends::onnx_format
