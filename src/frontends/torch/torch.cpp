#include "frontends/torch/torch.h"

#include <set>

#include "base/files.h"
#include "frontends/convert.h"
#include "frontends/torch/archive.h"
#include "frontends/torch/graph_importer.h"
#include "frontends/torch/weights.h"

namespace rooftune::frontends {
namespace {

using namespace torch_format;

/// Names that whoever made the archive gave to the symbols: torch.export itself keeps none.
std::map<std::string, std::string> symbol_names(const Archive& archive) {
  const std::string member = "extra/rooftune_symbols.json";
  std::map<std::string, std::string> names;
  if (!archive.has(member)) return names;
  const Json json = parse_json(archive.text(member), member);
  if (!json.is_object()) throw InputError("{}: an object is expected", member);
  std::set<std::string> taken;
  for (const auto& [symbol, name] : json.items()) {
    if (!name.is_string() || name.get<std::string>().empty() || !taken.insert(name.get<std::string>()).second)
      throw InputError("{}: '{}' needs a name of its own", member, symbol);
    names[symbol] = name.get<std::string>();
  }
  return names;
}

/// The one model of the archive.
std::string model_name(const Archive& archive) {
  constexpr std::string_view kFolder = "models/", kSuffix = ".json";
  const std::vector<std::string> found = archive.names(kFolder, kSuffix);
  if (found.size() == 1) {
    const std::string& path = found[0];
    return path.substr(kFolder.size(), path.size() - kFolder.size() - kSuffix.size());
  }
  if (found.size() > 1)
    throw InputError("the archive holds {} models ({}); one is accepted", found.size(), fmt::join(found, ", "));
  if (!archive.names("data/aotinductor/").empty())
    throw InputError(
        "the archive holds a model compiled by AOTInductor; save the exported program (torch.export.save)");
  throw InputError("the archive holds no exported program (models/*.json); torch.export.save writes one");
}

class ProgramImporter {
 public:
  ProgramImporter(const Program& program, const Weights& weights) : program_(program), weights_(weights) {}

  ir::Graph run() {
    require_known_operators(program_.graph);
    ir::Graph graph;
    graph.name = "torch";
    graph.opsets[""] = kOpset;
    if (!program_.torch_version.empty()) {
      graph.metadata["producer_name"] = "torch";
      graph.metadata["producer_version"] = program_.torch_version;
    }
    GraphImporter importer(graph, program_.graph);
    for (size_t i = 0; i < program_.inputs.size(); ++i) input(graph, importer, i);
    importer.run();
    outputs(graph, importer);
    graph.remove_dead();
    ir::verify(graph);
    return graph;
  }

 private:
  void input(ir::Graph& graph, GraphImporter& importer, size_t i) const {
    const InputSpec& spec = program_.inputs[i];
    if (spec.kind == InputSpec::Kind::number) return;  // the graph holds it as a literal where it is used
    if (spec.kind == InputSpec::Kind::user) {
      if (std::holds_alternative<Number>(program_.graph.inputs[i])) return number(graph, importer, spec.name);
      const TensorMeta& meta = importer.meta(spec.name);
      const ir::ValueId value = graph.add_input(spec.name, ir::Type::tensor(meta.dtype, meta.shape));
      return importer.bind(spec.name, value, fmt::format("its input '{}'", spec.name));
    }
    ir::Tensor tensor = weights_.read(spec.target);
    const TensorMeta& meta = importer.meta(spec.name);
    if (meta.dtype != tensor.dtype() || !(meta.shape == ir::to_shape(tensor.shape())))
      throw InputError("tensor '{}' is {}[{}], but the graph states {}{}", spec.target, ir::name(tensor.dtype()),
                       fmt::join(tensor.shape(), ","), ir::name(meta.dtype), ir::to_string(meta.shape));
    const ir::ValueId value = graph.add_constant(spec.target, std::move(tensor));
    importer.bind(spec.name, value, fmt::format("'{}', a parameter or buffer of its own", spec.target));
  }

  /// An integer that the caller gives: a scalar input.
  void number(ir::Graph& graph, GraphImporter& importer, const std::string& name) const {
    const ir::ValueId value = graph.add_input(name, ir::Type::tensor(DType::i64, ir::Shape{}));
    Constants constants(graph);
    Builder builder(graph, constants);
    importer.bind_number(name, builder.reshape(value, std::vector<int64_t>{1}));
    builder.flush(name);
  }

  void outputs(ir::Graph& graph, GraphImporter& importer) const {
    for (size_t i = 0, user = 0; i < program_.outputs.size(); ++i) {
      const OutputSpec& output = program_.outputs[i];
      if (!output.written.empty())
        throw InputError(
            "the model writes to '{}': nothing is kept from one run to the next; pass such a tensor as an input and "
            "return its new value",
            output.written);
      const ir::ValueId value = importer.output(output.argument, program_.output_names.at(user++));
      if (value != ir::kNone) graph.outputs.push_back(value);
    }
    if (graph.outputs.empty()) throw InputError("the model returns no tensor");
  }

  const Program& program_;
  const Weights& weights_;
};

enum class Content : uint8_t { program, script, pickle };

/// What PyTorch's three ways to save have put into an archive of this kind.
Content content_of(const std::shared_ptr<ir::Storage>& bytes, const std::string& path) {
  try {
    const Archive archive(bytes);
    if (archive.has("constants.pkl")) return Content::script;
    return archive.has("data.pkl") ? Content::pickle : Content::program;
  } catch (const InputError& e) {
    throw InputError("{}: {}", path, e.what());
  }
}

class TorchFrontend final : public Frontend {
 public:
  std::string name() const override { return "torch"; }
  std::string accepted() const override { return "*.pt2, TorchScript *.pt"; }
  bool accepts(const std::string& path) const override {
    return path.ends_with(".pt2") || path.ends_with(".pt") || path.ends_with(".pth");
  }

  ir::Graph load(const std::string& path) const override {
    const auto bytes = ir::map_file(path);
    switch (content_of(bytes, path)) {
      case Content::program: return load_torch(bytes, path);
      case Content::script: return load_script(path);
      case Content::pickle: break;
    }
    throw InputError(
        "{}: it holds pickled Python objects (torch.save of a module or a state_dict), which are no model without "
        "their "
        "code; accepted are torch.export.save (.pt2), torch.jit.save (.pt), and rooftune.from_torch in Python",
        path);
  }

 private:
  static ir::Graph load_script(const std::string& path) {
    const TempDirectory work;
    const std::string made = work.file("model.pt2");
    convert({.kind = "torchscript",
             .framework = "PyTorch",
             .packages = {"torch"},
             .variables = {"ROOFTUNE_TORCH_PYTHON", "ROOFTUNE_PYTHON"}},
            path, made);
    return load_torch(ir::map_file(made), path);  // what is mapped stays when the folder goes
  }
};

}  // namespace

std::unique_ptr<Frontend> make_torch_frontend() { return std::make_unique<TorchFrontend>(); }

std::vector<std::string> torch_operators() { return Lowerings::instance().targets(); }

ir::Graph load_torch(const std::shared_ptr<ir::Storage>& bytes, const std::string& source) {
  try {
    const Archive archive(bytes);
    const std::string model = model_name(archive);
    const std::string document = fmt::format("models/{}.json", model);
    const Program program = read_program(parse_json(archive.text(document), document), symbol_names(archive));
    return ProgramImporter(program, Weights(archive, model)).run();
  } catch (const InputError& e) {
    throw InputError("{}: {}", source, e.what());
  }
}

}  // namespace rooftune::frontends
