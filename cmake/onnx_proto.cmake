# onnx_proto: the classes that protoc makes of ONNX's own onnx-ml.proto, which comes with the onnx package.
find_package(Protobuf REQUIRED)
if(NOT EXISTS "${ROOFTUNE_ONNX_PROTO}")
  message(FATAL_ERROR "ROOFTUNE_ONNX_PROTO must be the path of onnx-ml.proto (in the Python package onnx); scripts/build sets it")
endif()
set(onnx_dir ${CMAKE_BINARY_DIR}/onnx)
get_filename_component(onnx_source ${ROOFTUNE_ONNX_PROTO} DIRECTORY)
file(MAKE_DIRECTORY ${onnx_dir})
add_custom_command(
  OUTPUT ${onnx_dir}/onnx-ml.pb.cc ${onnx_dir}/onnx-ml.pb.h
  COMMAND protobuf::protoc --cpp_out=${onnx_dir} -I${onnx_source} ${ROOFTUNE_ONNX_PROTO}
  DEPENDS ${ROOFTUNE_ONNX_PROTO} VERBATIM)
add_library(onnx_proto STATIC ${onnx_dir}/onnx-ml.pb.cc ${onnx_dir}/onnx-ml.pb.h)
target_include_directories(onnx_proto SYSTEM PUBLIC ${onnx_dir})
target_link_libraries(onnx_proto PUBLIC protobuf::libprotobuf-lite)
