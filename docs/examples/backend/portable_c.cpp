// A plug-in with a code generator: it writes every stage of a kernel down as plain loops in C and has the system's
// compiler (cc, or what the variable CC names) make a shared object of them. It follows no schedules, so there is nothing
// to tune, and it is no match for the code generator that does; it shows all that one has to do.
//
//   c++ -std=c++17 -O2 -shared -fPIC -I ROOFTUNE/src/plugins portable_c.cpp -o libexample_backend.so
//
// It needs nlohmann/json.hpp to read requests, which docs/plugins.md describes.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "rooftune_plugin.h"

extern char** environ;

namespace {

using Json = nlohmann::json;
using Text = std::string;

const char* const kPrelude = R"(#include <math.h>
#include <stdint.h>
#include <string.h>
#define UNUSED __attribute__((unused))
static inline UNUSED int64_t FLOORDIV(int64_t a, int64_t b) { return a / b - (a % b < 0); }
static inline UNUSED int64_t MOD(int64_t a, int64_t b) { return a - FLOORDIV(a, b) * b; }
static inline UNUSED int64_t quotient(int64_t a, int64_t b) { return b == 0 ? 0 : b == -1 ? -a : a / b; }
static inline UNUSED int64_t remainder_of(int64_t a, int64_t b) {
  if (b == 0 || b == -1) return 0;
  const int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
static inline UNUSED int64_t truncated(double v) { return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN; }
static inline UNUSED int64_t power(int64_t base, int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  int64_t r = 1;
  for (; exponent > 0; exponent >>= 1, base *= base)
    if (exponent & 1) r *= base;
  return r;
}
static inline UNUSED float as_float(int32_t v) { float f; memcpy(&f, &v, 4); return f; }
static inline UNUSED int32_t as_int(float v) { int32_t i; memcpy(&i, &v, 4); return i; }
/* bf16 is the upper half of an f32; it is rounded to the nearest, of two to the even one. */
static inline UNUSED float from_bf16(uint16_t v) { return as_float((int32_t)((uint32_t)v << 16)); }
static inline UNUSED uint16_t to_bf16(float v) {
  const uint32_t i = (uint32_t)as_int(v);
  return (uint16_t)(isnan(v) ? i >> 16 | 64 : (i + 0x7fff + (i >> 16 & 1)) >> 16);
}
)";

bool is_float(const Text& type) { return type == "f32" || type == "f64" || type == "f16"; }

Text c_type(const Text& type) {
  static const std::map<Text, Text> types = {{"f32", "float"},    {"f64", "double"},   {"i32", "int32_t"},
                                             {"i64", "int64_t"},  {"i8", "int8_t"},    {"u8", "uint8_t"},
                                             {"i16", "int16_t"},  {"u16", "uint16_t"}, {"u32", "uint32_t"},
                                             {"bool", "uint8_t"}, {"f16", "_Float16"}, {"bf16", "uint16_t"}};
  const auto found = types.find(type);
  if (found == types.end()) throw std::runtime_error("elements of type " + type + " are not supported");
  return found->second;
}

/// A number of a request, as C of this type.
Text literal(const Json& value, const Text& type) {
  if (type == "bf16") return "to_bf16(" + literal(value, "f32") + ")";
  std::ostringstream out;
  if (value.is_string()) {
    if (!is_float(type)) throw std::runtime_error("an integer that is " + value.get<Text>());
    out << (value == "nan" ? "NAN" : value == "inf" ? "INFINITY" : "-INFINITY");
  } else if (is_float(type)) {
    out << std::hexfloat << value.get<double>();
  } else {
    const auto number = value.get<double>();
    if (number <= -0x1p63 || number >= 0x1p63) out << (number < 0 ? "INT64_MIN" : "INT64_MAX");
    else out << "INT64_C(" << static_cast<int64_t>(number) << ")";
  }
  return "((" + c_type(type) + ")" + out.str() + ")";
}

/// Whether an expression uses axes of `from` and beyond, or (kind 'v') values of nodes.
bool uses(const Text& expression, char kind, int from = 0) {
  for (size_t i = 0; i + 1 < expression.size(); ++i)
    if (expression[i] == kind && std::isdigit(static_cast<unsigned char>(expression[i + 1])) &&
        (i == 0 || !std::isalnum(static_cast<unsigned char>(expression[i - 1]))) &&
        std::atoi(expression.c_str() + i + 1) >= from)
      return true;
  return false;
}

/// The value of one node of a stage.
Text value_of(const Json& node, const Json& nodes) {
  const Text op = node.at("op"), type = node.at("type");
  if (op == "constant") return literal(node.at("value"), type);
  if (op == "index") return node.at("index").get<Text>();
  if (op == "load") {
    const Text load = "b" + std::to_string(node.at("buffer").get<int>()) + "[" + node.at("offset").get<Text>() + "]";
    if (!node.contains("where")) return load;
    Text inside;
    for (const Json& condition : node.at("where"))
      inside += (inside.empty() ? "(" : " && (") + condition.get<Text>() + ") >= 0";
    return "(" + inside + ") ? " + load + " : " + literal(node.at("otherwise"), type);
  }
  const Json& arguments = node.at("arguments");
  const auto arg = [&](size_t i) { return "v" + std::to_string(arguments.at(i).get<int>()); };
  const Text from = nodes.at(arguments.at(0).get<size_t>()).at("type");
  const bool floats = is_float(from);
  const Text a = arg(0), b = arguments.size() > 1 ? arg(1) : "", c = arguments.size() > 2 ? arg(2) : "";
  static const std::map<Text, Text> infix = {{"add", "+"},          {"sub", "-"},         {"mul", "*"},
                                             {"eq", "=="},          {"lt", "<"},          {"le", "<="},
                                             {"logical_and", "&&"}, {"logical_or", "||"}, {"bit_and", "&"}};
  if (const auto found = infix.find(op); found != infix.end()) return a + " " + found->second + " " + b;
  if (op == "div") return floats ? a + " / " + b : "quotient(" + a + ", " + b + ")";
  if (op == "mod") return "remainder_of(" + a + ", " + b + ")";
  if (op == "min") return a + " < " + b + " ? " + a + " : " + b;
  if (op == "max") return b + " < " + a + " ? " + a + " : " + b;
  if (op == "pow") return (floats ? "pow(" : "power(") + a + ", " + b + ")";
  if (op == "shift_left") return "(uint64_t)" + b + " > 63 ? 0 : (int64_t)((uint64_t)" + a + " << " + b + ")";
  if (op == "shift_right") return "(uint64_t)" + b + " > 63 ? 0 : " + a + " >> " + b;
  if (op == "neg") return "-" + a;
  if (op == "abs") return floats ? "fabs(" + a + ")" : a + " < 0 ? -" + a + " : " + a;
  if (op == "logical_not") return "!" + a;
  if (op == "select") return a + " ? " + b + " : " + c;
  if (op == "fma") return (type == "f32" ? "fmaf(" : "fma(") + a + ", " + b + ", " + c + ")";
  if (op == "bitcast") return (type == "f32" ? "as_float(" : "as_int(") + a + ")";
  if (op == "cast") {
    if (from == "bf16" || type == "bf16") {  // lowered kernels widen them and round the result, nothing else
      if (from != "f32" && type != "f32")
        throw std::runtime_error("a cast from " + from + " to " + type + " is not supported");
      return (type == "bf16" ? "to_bf16(" : "from_bf16(") + a + ")";
    }
    if (type == "bool") return a + " != 0";
    return floats && !is_float(type) ? "truncated(" + a + ")" : a;
  }
  if (op == "floor" || op == "ceil" || op == "round") {
    const Text function = op == "round" ? "rint" : op;
    return floats ? function + (from == "f32" ? "f(" : "(") + a + ")" : a;
  }
  if (op == "sqrt") return (from == "f32" ? "sqrtf(" : "sqrt(") + a + ")";
  for (const char* known : {"exp", "log", "tanh", "erf", "sin", "cos"})  // in f64: those in f32 are expanded already
    if (op == known) return op + "(" + a + ")";
  throw std::runtime_error("operation " + op + " is not supported");
}

Text first_of_reduction(const Text& reduction, const Text& type) {
  if (reduction == "sum") return "0";
  if (reduction == "product") return "1";
  const bool most = reduction == "min";  // the identity of a minimum is the largest number
  if (is_float(type)) return most ? "INFINITY" : "-INFINITY";
  static const std::map<Text, Text> limits = {{"i8", "INT8"},  {"i16", "INT16"},  {"i32", "INT32"}, {"i64", "INT64"},
                                              {"u8", "UINT8"}, {"u16", "UINT16"}, {"u32", "UINT32"}};
  if (type == "bool") return most ? "1" : "0";
  if (type[0] == 'u' && !most) return "0";
  return limits.at(type) + (most ? "_MAX" : "_MIN");
}

Text combined(const Text& reduction, const Text& total, const Text& value) {
  if (reduction == "sum") return total + " + " + value;
  if (reduction == "product") return total + " * " + value;
  return value + (reduction == "max" ? " > " : " < ") + total + " ? " + value + " : " + total;
}

/// One stage as a function. The first axis that is longer than 1 is cut into tasks. Of a reduction, the last other spatial
/// axis, its lanes, is innermost, with a total for each lane: those loops the C compiler can turn into vectors.
class StageWriter {
 public:
  StageWriter(const Json& kernel, const Json& stage, const std::vector<size_t>& workspace)
      : kernel_(kernel),
        stage_(stage),
        nodes_(stage.at("nodes")),
        workspace_(workspace),
        spatial_(stage.at("spatial")) {
    for (const Json& axis : stage.at("axes")) extents_.push_back(axis.at("extent"));
    while (task_axis_ < spatial_ && extents_[static_cast<size_t>(task_axis_)] <= 1) ++task_axis_;
    for (int a = task_axis_ + 1; reduces() && a < spatial_; ++a)
      if (extents_[static_cast<size_t>(a)] > 1) lane_axis_ = a;
  }

  int64_t tasks() const { return task_axis_ < spatial_ ? extents_[static_cast<size_t>(task_axis_)] : 1; }

  Text write(const Text& symbol) {
    out_ << "// " << kernel_.at("label").get<Text>() << ": " << stage_.at("name").get<Text>() << "\nvoid " << symbol
         << "(void* const* buffers, char* workspace, char* scratch, int64_t begin, int64_t end) {\n";
    for (size_t b = 0; b < kernel_.at("buffers").size(); ++b) {
      const Json& buffer = kernel_.at("buffers")[b];
      out_ << "  UNUSED " << c_type(buffer.at("dtype")) << "* const b" << b << " = ";
      if (buffer.at("role") == "temporary") out_ << "(void*)(workspace + " << workspace_[b] << ");\n";
      else out_ << "buffers[" << b << "];\n";
    }
    if (task_axis_ >= spatial_) out_ << "  for (int64_t task = begin; task < end; ++task)\n";
    for (int a = 0; a < spatial_; ++a) {
      if (a == task_axis_) loop(a, "begin", "end");
      else if (a != lane_axis_) loop(a, "0", std::to_string(extents_[static_cast<size_t>(a)]));
    }
    for (int a = spatial_; scatters() && a < static_cast<int>(extents_.size()); ++a)
      loop(a, "0", std::to_string(extents_[static_cast<size_t>(a)]));
    out_ << "  {\n";
    if (reduces()) write_reduction();
    else if (scatters()) write_scatter();
    else write_map();
    out_ << "  }\n}\n\n";
    return out_.str();
  }

 private:
  static constexpr int64_t kLanes = 256;  // at a time

  bool scatters() const { return stage_.at("scatters"); }
  bool reduces() const { return stage_.at("reduction") != "none" && !scatters(); }

  void loop(int axis, const Text& from, const Text& to) {
    const Text i = "i" + std::to_string(axis);
    out_ << "  for (int64_t " << i << " = " << from << "; " << i << " < " << to << "; ++" << i << ")\n";
  }

  /// Conditions by what they depend on: the point that is stored, the point of the reduction, values of nodes.
  enum class On { point, reduction, values };
  On depends(const Text& condition) const {
    return uses(condition, 'v') ? On::values : uses(condition, 'i', spatial_) ? On::reduction : On::point;
  }
  void skip_unless(On what) {
    for (const auto& condition : stage_.at("where").get<std::vector<Text>>())
      if (depends(condition) == what) out_ << "    if ((" << condition << ") < 0) continue;\n";
  }

  void write_nodes() {
    for (size_t n = 0; n < nodes_.size(); ++n)
      out_ << "    UNUSED const " << c_type(nodes_[n].at("type")) << " v" << n << " = " << value_of(nodes_[n], nodes_)
           << ";\n";
    skip_unless(On::values);
  }

  void store(const Text& value) {
    out_ << "    b" << stage_.at("buffer").get<int>() << "[" << stage_.at("offset").get<Text>() << "] = " << value
         << ";\n";
  }

  void write_map() {
    skip_unless(On::point);
    write_nodes();
    store("v" + std::to_string(nodes_.size() - 1));
  }

  /// What lies outside of the buffer is skipped, the rest combined with what is there.
  void write_scatter() {
    const Json &buffer = kernel_.at("buffers").at(stage_.at("buffer").get<size_t>()), &indices = stage_.at("indices");
    const Text reduction = stage_.at("reduction"), value = "v" + std::to_string(nodes_.size() - 1);
    write_nodes();
    for (size_t d = 0; d < indices.size(); ++d)
      out_ << "    if ((uint64_t)(" << indices[d].get<Text>() << ") >= " << buffer.at("shape").at(d) << ") continue;\n";
    const Text held =
        "b" + std::to_string(stage_.at("buffer").get<int>()) + "[" + stage_.at("offset").get<Text>() + "]";
    store(reduction == "none" ? value : combined(reduction, held, value));
  }

  void write_reduction() {
    const Text reduction = stage_.at("reduction"), type = nodes_.back().at("type");
    const int64_t extent = lane_axis_ < 0 ? 1 : extents_[static_cast<size_t>(lane_axis_)];
    const Text lane = lane_axis_ < 0 ? "lane" : "i" + std::to_string(lane_axis_);
    const Text lanes = "    for (int64_t " + lane + " = first; " + lane + " < last; ++" + lane + ") {\n";
    const Text total = "total[" + lane + " - first]";
    out_ << "  for (int64_t first = 0; first < " << extent << "; first += " << kLanes
         << ") {\n    const int64_t last = first + " << kLanes << " < " << extent << " ? first + " << kLanes << " : "
         << extent << ";\n    " << c_type(type) << " total[" << std::min(kLanes, extent) << "];\n"
         << lanes << "    " << total << " = " << first_of_reduction(reduction, type) << ";\n    }\n";
    for (int a = spatial_; a < static_cast<int>(extents_.size()); ++a)
      loop(a, "0", std::to_string(extents_[static_cast<size_t>(a)]));
    out_ << lanes;
    skip_unless(On::point);
    skip_unless(On::reduction);
    write_nodes();
    out_ << "    " << total << " = " << combined(reduction, total, "v" + std::to_string(nodes_.size() - 1))
         << ";\n    }\n"
         << lanes;
    skip_unless(On::point);
    store(total);
    out_ << "    }\n  }\n";
  }

  const Json &kernel_, &stage_, &nodes_;
  const std::vector<size_t>& workspace_;
  int spatial_;
  int task_axis_ = 0;   // spatial_ where there is none
  int lane_axis_ = -1;  // -1 where there is none
  std::vector<int64_t> extents_;
  std::ostringstream out_;
};

/// All kernels of a request in C, and what Rooftune must know of them.
Text generate(const Json& request, Json& kernels) {
  Text code = kPrelude;
  kernels = Json::array();
  for (const Json& kernel : request.at("kernels")) {
    const Text name = kernel.at("name");
    size_t bytes = 0;  // temporaries are kept in the workspace, one after the other
    std::vector<size_t> workspace;
    for (const Json& buffer : kernel.at("buffers")) {
      workspace.push_back(bytes);
      if (buffer.at("role") == "temporary") bytes += (buffer.at("bytes").get<size_t>() + 63) / 64 * 64;
    }
    Json phases = Json::array();
    for (size_t s = 0; s < kernel.at("stages").size(); ++s) {
      const Text symbol = name + "_" + std::to_string(s);
      StageWriter writer(kernel, kernel.at("stages")[s], workspace);
      code += writer.write(symbol);
      phases.push_back({symbol, writer.tasks()});
    }
    kernels.push_back({{"phases", phases}, {"workspace_bytes", bytes}});
  }
  return code;
}

/// A folder that goes when it is no longer needed.
struct Folder {
  Folder() {
    Text pattern = (std::filesystem::temp_directory_path() / "portable_c-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no folder can be made at " + pattern);
    path = pattern;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::filesystem::path path;
};

Text read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The shared object that the system's compiler makes of it.
Text compile_c(const Text& code, const Text& cpu) {
  const Folder folder;
  const Text source = (folder.path / "kernels.c").string(), object = (folder.path / "kernels.so").string(),
             log = (folder.path / "log").string();
  std::ofstream(source) << code;
  const char* chosen = std::getenv("CC");
  std::vector<Text> words = {chosen == nullptr ? "cc" : chosen,
                             "-std=gnu11",
                             "-O3",
                             "-march=" + cpu,
                             "-fwrapv",
                             "-fno-math-errno",
                             "-shared",
                             "-fPIC",
                             source,
                             "-o",
                             object,
                             "-lm"};
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t process = 0;
  const int error = posix_spawnp(&process, words[0].c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    throw std::runtime_error("the C compiler '" + words[0] + "' cannot be started: install one, or set CC");
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw std::runtime_error("the C compiler '" + words[0] + "' failed: " + read(log).substr(0, 500));
  return read(object);
}

// --- callbacks: nothing may be thrown out of them

template <typename F>
int guarded(const rt_host* host, rt_job* job, F&& f) {
  try {
    f();
    return 0;
  } catch (const std::exception& e) {
    host->fail_job(job, e.what());
    return 1;
  }
}

int compile(const rt_host* host, rt_job* job, const char* text) {
  return guarded(host, job, [&] {
    const Json request = Json::parse(text);
    Json kernels;
    const Text code = generate(request, kernels);
    const Text object = compile_c(code, request.at("target").at("cpu"));
    host->set_code(job, request.at("target").at("name").get<Text>().c_str(), object.data(), object.size(),
                   kernels.dump().c_str());
  });
}

int dump(const rt_host* host, rt_job* job, const char* text) {
  return guarded(host, job, [&] {
    Json kernels;
    host->set_text(job, generate(Json::parse(text), kernels).c_str());
  });
}

const rt_backend kBackend = {"portable_c", "1.0", /*follows_schedules=*/0, compile, dump};
const rt_plugin kPlugin = {ROOFTUNE_PLUGIN_ABI, "example_backend", "1.0", nullptr, 0, &kBackend, 1};

}  // namespace

extern "C" const rt_plugin* rooftune_plugin(void) { return &kPlugin; }
