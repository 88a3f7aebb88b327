// Boosted trees by XGBoost. This library is loaded with dlopen (see estimate/trees.cpp), so that nothing else depends on
// XGBoost. One thread throughout: models are fitted between measurements, in a process that forks.
#include <xgboost/c_api.h>

#include <cmath>

#include "base/error.h"
#include "estimate/trees.h"

namespace rooftune::estimate {
namespace {

void check(int status) {
  if (status != 0) throw InternalError("XGBoost: {}", XGBGetLastError());
}

class Data {
 public:
  explicit Data(const Matrix& rows) {
    check(XGDMatrixCreateFromMat(rows.values.data(), rows.rows(), rows.columns, std::nanf(""), &handle_));
  }
  ~Data() { XGDMatrixFree(handle_); }
  Data(const Data&) = delete;
  Data& operator=(const Data&) = delete;
  void set(const char* field, const std::vector<float>& values) {
    check(XGDMatrixSetFloatInfo(handle_, field, values.data(), values.size()));
  }
  DMatrixHandle handle() const { return handle_; }

 private:
  DMatrixHandle handle_ = nullptr;
};

class Booster : public Trees {
 public:
  explicit Booster(const Data* data) {
    const DMatrixHandle handles[] = {data == nullptr ? nullptr : data->handle()};
    check(XGBoosterCreate(handles, data == nullptr ? 0 : 1, &handle_));
    set("nthread", "1");
    set("verbosity", "0");
  }
  ~Booster() override { XGBoosterFree(handle_); }
  Booster(const Booster&) = delete;
  Booster& operator=(const Booster&) = delete;

  void set(const char* name, const std::string& value) { check(XGBoosterSetParam(handle_, name, value.c_str())); }
  BoosterHandle handle() const { return handle_; }

  std::vector<float> predict(const Matrix& rows) const override {
    if (rows.rows() == 0) return {};
    constexpr const char* kOptions =
        R"({"type": 0, "training": false, "iteration_begin": 0, "iteration_end": 0, "strict_shape": false})";
    const Data data(rows);
    const bst_ulong* shape = nullptr;
    bst_ulong dims = 0;
    const float* values = nullptr;
    check(XGBoosterPredictFromDMatrix(handle_, data.handle(), kOptions, &shape, &dims, &values));
    return {values, values + rows.rows()};
  }

  std::string save() const override {
    bst_ulong bytes = 0;
    const char* data = nullptr;
    check(XGBoosterSaveModelToBuffer(handle_, R"({"format": "ubj"})", &bytes, &data));
    return {data, bytes};
  }

 private:
  BoosterHandle handle_ = nullptr;
};

class XgBoost : public TreeLibrary {
 public:
  std::unique_ptr<Trees> fit(const Matrix& rows, const std::vector<float>& values, const std::vector<float>& weights,
                             const TreeOptions& options) const override {
    RT_CHECK(rows.rows() == values.size() && rows.rows() > 0);
    Data data(rows);
    data.set("label", values);
    if (!weights.empty()) data.set("weight", weights);
    auto booster = std::make_unique<Booster>(&data);
    const auto number = [](double v) { return fmt::format("{}", v); };
    booster->set("objective", "reg:squarederror");
    booster->set("base_score", "0");
    booster->set("tree_method", "hist");
    booster->set("max_bin", "64");
    booster->set("max_depth", number(options.depth));
    booster->set("eta", number(options.rate));
    booster->set("colsample_bytree", number(options.columns));
    booster->set("subsample", number(options.rows));
    booster->set("min_child_weight", number(options.least));
    booster->set("seed", number(static_cast<double>(options.seed % (1U << 31))));
    for (int round = 0; round < options.rounds; ++round)
      check(XGBoosterUpdateOneIter(booster->handle(), round, data.handle()));
    return booster;
  }

  std::unique_ptr<Trees> load(std::string_view bytes) const override {
    auto booster = std::make_unique<Booster>(nullptr);
    if (XGBoosterLoadModelFromBuffer(booster->handle(), bytes.data(), bytes.size()) != 0)
      throw InputError("the trees of a cost model are damaged: {}", XGBGetLastError());
    return booster;
  }
};

}  // namespace
}  // namespace rooftune::estimate

extern "C" const rooftune::estimate::TreeLibrary* rooftune_tree_library() {
  static const rooftune::estimate::XgBoost library;
  return &library;
}
