#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "capi/dlpack.h"
#include "capi/functions.h"
#include "capi/handles.h"
#include "exporters/exporter.h"
#include "runtime/testing/programs.h"

extern "C" int run_from_c(const char* path, float* in, float* out, const int64_t* shape, int rank, size_t bytes);

namespace rooftune::capi {
namespace {

using runtime::testing::Everything;
using runtime::testing::kColumns;
using runtime::testing::kRows;

std::string last_message() {
  const char* message = nullptr;
  rt_last_error(&message);
  return message;
}

/// A saved model, loaded through the interface.
struct Model {
  TempDirectory folder;
  Everything everything;
  rt_executable* executable = nullptr;
  rt_context* context = nullptr;
  Model() {
    runtime::save(everything.program, path());
    EXPECT_EQ(rt_executable_load(path().c_str(), &executable), RT_OK) << last_message();
    EXPECT_EQ(rt_context_create(executable, 2, 0, &context), RT_OK) << last_message();
  }
  ~Model() {
    rt_context_free(context);
    rt_executable_free(executable);
  }
  std::string path() const { return folder.file("m.rt"); }
};

rt_tensor* matrix(const ir::Tensor& values) {
  rt_tensor* t = nullptr;
  const int64_t shape[] = {kRows, kColumns};
  EXPECT_EQ(rt_tensor_create("f32", shape, 2, &t), RT_OK);
  std::memcpy(rt_tensor_data(t), values.raw(), rt_tensor_bytes(t));
  return t;
}

TEST(Capi, LoadsAndRuns) {
  Model model;
  const ir::Tensor x = runtime::testing::random_matrix();
  rt_tensor *in = matrix(x), *made = nullptr, *given = matrix(x);
  void* memory = rt_tensor_data(given);
  ASSERT_EQ(rt_run(model.context, &in, 1, &made, 1), RT_OK) << last_message();
  ASSERT_EQ(rt_run(model.context, &in, 1, &given, 1), RT_OK) << last_message();
  EXPECT_EQ(rt_tensor_data(given), memory);
  ASSERT_EQ(rt_tensor_rank(made), 2);
  EXPECT_EQ(rt_tensor_shape(made)[1], kColumns);
  EXPECT_STREQ(rt_tensor_dtype(made), "f32");
  EXPECT_LT(runtime::testing::relative_error(made->tensor, model.everything.expected(x)), 1e-5);
  EXPECT_EQ(std::memcmp(memory, rt_tensor_data(made), rt_tensor_bytes(made)), 0);
  for (rt_tensor* t : {in, made, given}) rt_tensor_free(t);
}

TEST(Capi, OutputsWhoseShapeIsFoundByRunningAreWrittenInPlace) {
  using runtime::Slot;
  runtime::testing::Builder b;
  const int in = b.dynamic(Slot::Kind::input, ir::DType::f32, {-1, 3}),
            out = b.dynamic(Slot::Kind::output, ir::DType::f32);
  b.reference("Add", {in, in}, {out});
  const TempDirectory folder;
  runtime::save(b.build(), folder.file("m.rt"));
  rt_executable* executable = nullptr;
  rt_context* context = nullptr;
  ASSERT_EQ(rt_executable_load(folder.file("m.rt").c_str(), &executable), RT_OK) << last_message();
  ASSERT_EQ(rt_context_create(executable, 1, 0, &context), RT_OK) << last_message();
  float x[6], y[6] = {};
  for (float& v : x) v = static_cast<float>(std::rand() % 1000);
  const int64_t shape[] = {2, 3}, wrong[] = {3, 2};
  rt_tensor *given_in = nullptr, *given_out = nullptr, *misfit = nullptr;
  ASSERT_EQ(rt_tensor_wrap(x, sizeof x, "f32", shape, 2, nullptr, nullptr, &given_in), RT_OK);
  ASSERT_EQ(rt_tensor_wrap(y, sizeof y, "f32", shape, 2, nullptr, nullptr, &given_out), RT_OK);
  ASSERT_EQ(rt_tensor_create("f32", wrong, 2, &misfit), RT_OK);
  ASSERT_EQ(rt_run(context, &given_in, 1, &given_out, 1), RT_OK) << last_message();
  EXPECT_EQ(rt_tensor_data(given_out), y);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(y[i], 2 * x[i]);
  EXPECT_EQ(rt_run(context, &given_in, 1, &misfit, 1), RT_INPUT_ERROR);
  EXPECT_EQ(last_message(), "output 'out1' is f32[3,2]: this run gives f32[2,3]; give none and one is made");
  for (rt_tensor* t : {given_in, given_out, misfit}) rt_tensor_free(t);
  rt_context_free(context);
  rt_executable_free(executable);
}

TEST(Capi, IsCAndEnoughForC) {
  Model model;
  const ir::Tensor x = runtime::testing::random_matrix();
  ir::Tensor in = x.clone(), out = x.clone();
  const int64_t shape[] = {kRows, kColumns};
  ASSERT_EQ(run_from_c(model.path().c_str(), in.data<float>(), out.data<float>(), shape, 2, in.bytes()), 0)
      << last_message();
  EXPECT_LT(runtime::testing::relative_error(out, model.everything.expected(x)), 1e-5);
}

TEST(Capi, DescribesTheModel) {
  Model model;
  const Json j = parse_json(rt_executable_describe(model.executable), "description");
  EXPECT_EQ(j["inputs"].dump(), R"([{"name":"in0","dtype":"f32","shape":[37,24]}])");
  EXPECT_EQ(j["outputs"].dump(), R"([{"name":"out7","dtype":"f32","shape":[37,24]}])");
  EXPECT_EQ(j["steps"], 5);
  EXPECT_EQ(j["targets"][0], "x86_64-generic");
  EXPECT_EQ(rt_context_threads(model.context), 2);
  rt_context* all = nullptr;
  ASSERT_EQ(rt_context_create(model.executable, 0, 1, &all), RT_OK);
  EXPECT_GE(rt_context_threads(all), 1);
  rt_context_free(all);
}

TEST(Capi, Profiles) {
  Model model;
  rt_tensor* in = matrix(runtime::testing::random_matrix());
  char* text = nullptr;
  ASSERT_EQ(rt_profile(model.context, &in, 1, &text), RT_OK) << last_message();
  const Json j = parse_json(text, "profile");
  rt_free_string(text);
  rt_tensor_free(in);
  ASSERT_EQ(j["steps"].size(), 5u);
  double sum = 0;
  for (const Json& step : j["steps"]) sum += step["milliseconds"].get<double>();
  EXPECT_NEAR(j["total_ms"].get<double>(), sum, 1e-9);
  EXPECT_EQ(j["steps"][0]["name"], "scale_0");
}

TEST(Capi, FailuresHaveAKindAndAMessagePerThread) {
  Model model;
  rt_executable* executable = nullptr;
  EXPECT_EQ(rt_executable_load("/no/such/model.rt", &executable), RT_INPUT_ERROR);
  EXPECT_EQ(rt_last_error(nullptr), RT_INPUT_ERROR);
  EXPECT_NE(last_message().find("/no/such/model.rt"), std::string::npos);
  std::thread([] { EXPECT_EQ(rt_last_error(nullptr), RT_OK); }).join();
  EXPECT_EQ(rt_executable_load(nullptr, &executable), RT_INPUT_ERROR);
  EXPECT_EQ(last_message(), "argument 'path' is NULL");
  rt_tensor* out = nullptr;
  EXPECT_EQ(rt_run(model.context, nullptr, 0, &out, 1), RT_INPUT_ERROR);
  EXPECT_EQ(last_message(), "0 inputs were given, the model takes 1 (in0)");
  EXPECT_EQ(rt_run(model.context, nullptr, 1, &out, 1), RT_INPUT_ERROR);
  EXPECT_EQ(rt_run(model.context, nullptr, 0, nullptr, 0), RT_INPUT_ERROR);
  EXPECT_EQ(last_message(), "room for 0 outputs was given, the model has 1");
  rt_context* context = nullptr;
  EXPECT_EQ(rt_context_create(model.executable, -3, 0, &context), RT_INPUT_ERROR);
  EXPECT_EQ(out, nullptr);
  const auto kind = [](auto&& error) { return guarded([&] { throw error; }); };
  EXPECT_EQ(kind(EnvironmentError("x")), RT_ENVIRONMENT_ERROR);
  EXPECT_EQ(kind(InternalError("y")), RT_INTERNAL_ERROR);
  EXPECT_EQ(kind(std::bad_alloc()), RT_ENVIRONMENT_ERROR);
  EXPECT_EQ(kind(std::runtime_error("z")), RT_INTERNAL_ERROR);
  EXPECT_EQ(last_message(), "z");
  EXPECT_EQ(kind(7), RT_INTERNAL_ERROR);
  rt_tensor_free(nullptr), rt_context_free(nullptr), rt_executable_free(nullptr), rt_free_string(nullptr);
}

TEST(Capi, TensorsOfEveryKind) {
  rt_tensor* t = nullptr;
  const int64_t shape[] = {2, 3};
  ASSERT_EQ(rt_tensor_create("i4", shape, 2, &t), RT_OK);
  EXPECT_EQ(rt_tensor_bytes(t), 3u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(rt_tensor_data(t)) % 64, 0u);
  rt_tensor_free(t);
  ASSERT_EQ(rt_tensor_create("f64", nullptr, 0, &t), RT_OK);
  EXPECT_EQ(rt_tensor_bytes(t), 8u);
  rt_tensor_free(t);
  ASSERT_EQ(rt_tensor_create("string", shape, 1, &t), RT_OK);
  EXPECT_EQ(rt_tensor_set_string(t, 1, "grüße", 7), RT_OK);
  const char* text = nullptr;
  size_t bytes = 0;
  ASSERT_EQ(rt_tensor_get_string(t, 1, &text, &bytes), RT_OK);
  EXPECT_EQ(std::string(text, bytes), "grüße");
  EXPECT_EQ(rt_tensor_get_string(t, 2, &text, &bytes), RT_INPUT_ERROR);
  EXPECT_EQ(last_message(), "element 2 of 2");
  rt_tensor_free(t);
  t = nullptr;
  EXPECT_EQ(rt_tensor_create("f33", shape, 2, &t), RT_INPUT_ERROR);
  EXPECT_EQ(last_message(), "'f33' is no element type");
  const int64_t negative[] = {-1};
  EXPECT_EQ(rt_tensor_create("f32", negative, 1, &t), RT_INPUT_ERROR);
  float data[6] = {};
  EXPECT_EQ(rt_tensor_wrap(data, 20, "f32", shape, 2, nullptr, nullptr, &t), RT_INPUT_ERROR);
  EXPECT_EQ(last_message(), "20 bytes were given, f32[2,3] has 24");
  EXPECT_EQ(t, nullptr);
}

TEST(Capi, ReleasesWrappedMemoryOnce) {
  float data[6] = {};
  int released = 0;
  rt_tensor* t = nullptr;
  const int64_t shape[] = {2, 3};
  const auto release = [](void* counter) { ++*static_cast<int*>(counter); };
  ASSERT_EQ(rt_tensor_wrap(data, 24, "f32", shape, 2, release, &released, &t), RT_OK);
  EXPECT_EQ(rt_tensor_data(t), data);
  DLManagedTensor* view = nullptr;
  ASSERT_EQ(rt_tensor_to_dlpack(t, &view), RT_OK);
  rt_tensor_free(t);
  EXPECT_EQ(released, 0) << "the view still uses it";
  view->deleter(view);
  EXPECT_EQ(released, 1);
}

struct Foreign {  // a DLPack tensor of somebody else
  DLManagedTensor managed{};
  std::vector<int64_t> shape, strides;
  std::vector<float> data;
  int deleted = 0;
  Foreign(std::vector<int64_t> s, std::vector<int64_t> st, size_t elements)
      : shape(std::move(s)), strides(std::move(st)), data(elements) {
    std::iota(data.begin(), data.end(), 0.0f);
    managed.dl_tensor = {data.data(),
                         {1, 0},
                         static_cast<int32_t>(shape.size()),
                         {2, 32, 1},
                         shape.data(),
                         strides.empty() ? nullptr : strides.data(),
                         0};
    managed.manager_ctx = this;
    managed.deleter = [](DLManagedTensor* self) { ++static_cast<Foreign*>(self->manager_ctx)->deleted; };
  }
};

TEST(Capi, TakesDlpackWithoutACopyWhereItIsDense) {
  Foreign dense({2, 3}, {3, 1}, 6), offset({2}, {}, 6), transposed({3, 2}, {1, 3}, 6), one({1, 4}, {99, 1}, 4);
  rt_tensor* t = nullptr;
  ASSERT_EQ(rt_tensor_from_dlpack(&dense.managed, &t), RT_OK);
  EXPECT_EQ(rt_tensor_data(t), dense.data.data());
  EXPECT_EQ(dense.deleted, 0);
  rt_tensor_free(t);
  EXPECT_EQ(dense.deleted, 1);
  offset.managed.dl_tensor.byte_offset = 8;
  ASSERT_EQ(rt_tensor_from_dlpack(&offset.managed, &t), RT_OK);
  EXPECT_EQ(*static_cast<float*>(rt_tensor_data(t)), 2.0f);
  rt_tensor_free(t);
  ASSERT_EQ(rt_tensor_from_dlpack(&transposed.managed, &t), RT_OK);
  EXPECT_EQ(transposed.deleted, 1) << "copied, so it is not needed any more";
  const float* got = static_cast<float*>(rt_tensor_data(t));
  EXPECT_EQ((std::vector<float>(got, got + 6)), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  rt_tensor_free(t);
  ASSERT_EQ(rt_tensor_from_dlpack(&one.managed, &t), RT_OK);
  EXPECT_EQ(rt_tensor_data(t), one.data.data());
  rt_tensor_free(t);
}

TEST(Capi, RefusesDlpackThatItCannotUse) {
  Foreign gpu({2}, {}, 2), odd({2}, {}, 2);
  rt_tensor* t = nullptr;
  gpu.managed.dl_tensor.device.device_type = 2;
  EXPECT_EQ(rt_tensor_from_dlpack(&gpu.managed, &t), RT_INPUT_ERROR);
  EXPECT_NE(last_message().find("only host memory"), std::string::npos);
  odd.managed.dl_tensor.dtype = {2, 24, 1};
  EXPECT_EQ(rt_tensor_from_dlpack(&odd.managed, &t), RT_INPUT_ERROR);
  EXPECT_EQ(gpu.deleted + odd.deleted, 0) << "what is refused stays the caller's";
  EXPECT_EQ(t, nullptr);
}

TEST(Capi, DlpackKeepsEveryType) {
  for (const char* name : {"f32", "f64", "f16", "bf16", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "bool",
                           "c64", "c128", "f8e4m3fn", "f8e5m2", "i4", "u4"}) {
    rt_tensor *t = nullptr, *back = nullptr;
    const int64_t shape[] = {3, 2};
    ASSERT_EQ(rt_tensor_create(name, shape, 2, &t), RT_OK) << name;
    DLManagedTensor* view = nullptr;
    ASSERT_EQ(rt_tensor_to_dlpack(t, &view), RT_OK) << name;
    ASSERT_EQ(rt_tensor_from_dlpack(view, &back), RT_OK) << name;
    EXPECT_STREQ(rt_tensor_dtype(back), name);
    EXPECT_EQ(rt_tensor_data(back), rt_tensor_data(t));
    rt_tensor_free(t);
    rt_tensor_free(back);
  }
  rt_tensor* words = nullptr;
  DLManagedTensor* view = nullptr;
  ASSERT_EQ(rt_tensor_create("string", nullptr, 0, &words), RT_OK);
  EXPECT_EQ(rt_tensor_to_dlpack(words, &view), RT_INPUT_ERROR);
  rt_tensor_free(words);
}

Json echo(const Json& request, Progress& progress, const Cancelled& cancelled) {
  progress.report("first", 1, 2, std::nullopt, 3.5);
  if (cancelled.requested()) return {{"stopped", true}};
  progress.report("second", 2, 2, 0.25);
  return {{"got", json_field<std::string>(request, "text", "request")}};
}

TEST(Capi, FunctionsAreFoundByName) {
  const FunctionTable table{{"echo", echo}};
  const Cancelled no;
  EXPECT_EQ(call(table, "echo", R"({"text": "hi"})", no_progress(), no), R"({"got":"hi"})");
  Cancelled yes;
  yes.request();
  EXPECT_EQ(call(table, "echo", R"({})", no_progress(), yes), R"({"stopped":true})");
  const auto message = [&](const char* name, const char* request) -> std::string {
    try {
      return call(table, name, request, no_progress(), no);
    } catch (const InputError& e) {
      return e.what();
    }
  };
  EXPECT_EQ(message("optimise", "{}"), R"(there is no function 'optimise'; there are ["echo"])");
  EXPECT_EQ(message("echo", "[1]"), "request of 'echo': an object is expected, not array");
  EXPECT_EQ(message("echo", "{}"), "request: field 'text' is missing");
  EXPECT_NE(message("echo", "{").find("request of 'echo'"), std::string::npos);
}

TEST(Capi, CallAnswersInJson) {
  char* response = nullptr;
  ASSERT_EQ(rt_call("version", "{}", nullptr, nullptr, &response), RT_OK) << last_message();
  const Json j = parse_json(response, "response");
  rt_free_string(response);
  EXPECT_EQ(j["version"], rt_version());
  EXPECT_NE(std::find(j["functions"].begin(), j["functions"].end(), "version"), j["functions"].end());
  response = nullptr;
  EXPECT_EQ(rt_call("no_such", "{}", nullptr, nullptr, &response), RT_INPUT_ERROR);
  EXPECT_EQ(response, nullptr);
}

/// A command on a model, all the way through the interface.
TEST(Capi, CallsACommandOnAModel) {
  const TempDirectory folder;
  ir::Graph graph;
  graph.opsets[""] = 18;
  const auto type = ir::Type::tensor(ir::DType::f32, ir::to_shape({4, 8}));
  const auto x = graph.add_input("x", type), y = graph.add_value("y", type);
  graph.add_node({.name = "act", .op = "Relu", .since_version = 18, .inputs = {x}, .outputs = {y}});
  graph.outputs = {y};
  exporters::find("onnx").write(graph, folder.file("m.onnx"));
  const Json request = {{"model", folder.file("m.onnx")}};
  char* response = nullptr;
  ASSERT_EQ(rt_call("characterize", request.dump().c_str(), nullptr, nullptr, &response), RT_OK) << last_message();
  const Json j = parse_json(response, "response");
  rt_free_string(response);
  EXPECT_EQ(j["histogram"].dump(), R"({"Relu":1})");
  EXPECT_EQ(j["operators"][0]["bytes"].get<double>(), 2 * 4 * 8 * 4);
  const Json wrong = {{"model", folder.file("m.onnx")}, {"colour", "red"}};
  EXPECT_EQ(rt_call("characterize", wrong.dump().c_str(), nullptr, nullptr, &response), RT_INPUT_ERROR);
  EXPECT_NE(last_message().find("'colour'"), std::string::npos);
}

TEST(Capi, ProgressReachesTheCallerWhoMayStop) {
  struct Seen {
    std::vector<std::string> stages;
    std::vector<double> best, eta;
  } seen;
  const rt_progress callback = [](void* user, const char* stage, double, double, double best, double eta) {
    auto& s = *static_cast<Seen*>(user);
    s.stages.emplace_back(stage);
    s.best.push_back(best);
    s.eta.push_back(eta);
    return s.stages.size() == 2 ? 1 : 0;
  };
  Cancelled cancelled;
  const auto progress = callback_progress(callback, &seen, cancelled);
  progress->report("a", 1, 2, 0.5);
  EXPECT_FALSE(cancelled.requested());
  progress->report("b", 1, 2, std::nullopt, 7.0);
  EXPECT_TRUE(cancelled.requested());
  EXPECT_EQ(seen.stages, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(seen.best[0], 0.5);
  EXPECT_TRUE(std::isnan(seen.eta[0]));
  EXPECT_TRUE(std::isnan(seen.best[1]));
  EXPECT_EQ(seen.eta[1], 7.0);
}

}  // namespace
}  // namespace rooftune::capi
