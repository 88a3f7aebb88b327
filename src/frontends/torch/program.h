// What torch.export writes (torch/_export/serde/schema.py: an ExportedProgram as JSON), read and checked: operators
// called by name on named values. Nothing here knows what an operator means.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "ir/dim.h"
#include "ir/dtype.h"

namespace rooftune::frontends::torch_format {

struct TensorMeta {
  ir::DType dtype = ir::DType::undefined;
  ir::Shape shape;
  bool contiguous = true;  // in memory, row by row; decides what is a view of what
};

/// A number: a literal, or the name of one that the graph computes (SymInt, SymFloat, SymBool).
struct Number {
  enum class Kind : uint8_t { integer, real, boolean } kind = Kind::integer;
  std::string name;
  int64_t integer = 0;  // also of a boolean
  double real = 0;      // of every literal
};

struct TensorRef {
  std::string name;  // empty: None
};
struct SubGraph;
/// What no lowering reads: layouts, devices, memory formats, custom objects. `what` is its name in the schema.
struct Opaque {
  std::string what;
};
using Argument = std::variant<std::monostate, TensorRef, std::vector<TensorRef>, Number, std::vector<Number>,
                              std::string, ir::DType, std::shared_ptr<SubGraph>, Opaque>;

struct Call {
  std::string target;  // "aten.conv2d.default"
  std::string name;    // "conv2d_3"
  std::string module;  // path of the module whose code calls it ("encoder.layers.0"); "" is the model itself
  std::vector<std::pair<std::string, Argument>> inputs;  // by the names in the operator's schema
  std::vector<Argument> outputs;
};

struct SubGraph {
  std::vector<Argument> inputs;  // tensors and symbolic numbers, by name
  std::vector<Argument> outputs;
  std::vector<Call> calls;
  std::map<std::string, TensorMeta> tensors;
  std::map<std::string, ir::Dim> integers;  // the symbolic ones
};

struct InputSpec {
  enum class Kind : uint8_t { user, weight, constant, number } kind = Kind::user;
  std::string name;    // in the graph
  std::string target;  // name in the state_dict, of a weight (parameter or buffer), or of a constant tensor
};
struct OutputSpec {
  Argument argument;
  std::string written;  // the buffer or input that this is the new value of; empty for what the caller gets
};

struct Program {
  SubGraph graph;
  std::vector<InputSpec> inputs;
  std::vector<OutputSpec> outputs;
  std::vector<std::string> output_names;  // of the user's outputs, by the structure that the module returns
  std::string torch_version;
};

/// `names`: what symbols shall be called (as the user called them; others keep the name that PyTorch gave them).
/// InputError naming the field at fault.
Program read_program(const Json& json, const std::map<std::string, std::string>& names);

ir::DType to_dtype(int64_t scalar_type, const std::string& what);
/// Of a tensor that must have a static shape (a weight). Strides and offset are in elements.
struct StoredTensor {
  ir::DType dtype;
  std::vector<int64_t> shape, strides;
  int64_t offset = 0;
};
StoredTensor read_stored_tensor(const Json& meta, const std::string& what);

}  // namespace rooftune::frontends::torch_format
