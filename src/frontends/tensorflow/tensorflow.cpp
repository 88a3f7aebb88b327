#include "frontends/tensorflow/tensorflow.h"

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "frontends/convert.h"
#include "frontends/onnx/onnx.h"

namespace rooftune::frontends {
namespace {

namespace fs = std::filesystem;

class TensorFlowFrontend final : public Frontend {
 public:
  std::string name() const override { return "tensorflow"; }
  std::string accepted() const override { return "SavedModel folders, *.keras, *.h5, *.tflite"; }

  bool accepts(const std::string& path) const override {
    constexpr std::string_view kEndings[] = {".keras", ".h5", ".hdf5", ".tflite"};
    std::error_code error;
    return std::ranges::any_of(kEndings, [&](std::string_view e) { return path.ends_with(e); }) ||
           fs::exists(fs::path(path) / "saved_model.pb", error);
  }

  ir::Graph load(const std::string& path) const override {
    std::error_code error;
    if (!fs::exists(path, error)) throw InputError("{}: there is no such file", path);
    const TempDirectory work;
    const std::string made = work.file("model.onnx");
    convert({.kind = "tensorflow",
             .framework = "TensorFlow and tf2onnx",
             .packages = {"tensorflow", "tf2onnx"},
             .variables = {"ROOFTUNE_TF_PYTHON", "ROOFTUNE_PYTHON"}},
            path, made);
    return load_onnx(ir::map_file(made), path, made);  // what is mapped stays when the folder goes
  }
};

}  // namespace

std::unique_ptr<Frontend> make_tensorflow_frontend() { return std::make_unique<TensorFlowFrontend>(); }

}  // namespace rooftune::frontends
