// One expression node over a run of points at once ("lanes"): what makes the interpreter fast enough to be everybody's
// oracle. Floats up to 32 bits are held as float and rounded to their type after every operation, f64 as double,
// integers and booleans as int64 wrapped to their type.
#pragma once
#include <cstdint>
#include <vector>

#include "ir/tensor.h"
#include "kernel/kernel.h"

namespace rooftune::kernel {

enum class Domain : uint8_t { single, full, integer };  // float, double, int64
Domain domain_of(DType type);

struct Lanes {
  explicit Lanes(DType type, int capacity);
  DType type;
  Domain domain;
  std::vector<float> f;
  std::vector<double> d;
  std::vector<int64_t> i;
};

/// f(data): with the lanes' array in its own element type.
template <typename L, typename F>
void visit(L& lanes, F&& f) {
  switch (lanes.domain) {
    case Domain::single: f(lanes.f.data()); break;
    case Domain::full: f(lanes.d.data()); break;
    case Domain::integer: f(lanes.i.data()); break;
  }
}

/// Any operation but load and index. `a`, `b`, `c` are its arguments' lanes (null beyond its arity).
void evaluate(const ExprNode& node, const Lanes* a, const Lanes* b, const Lanes* c, int count, Lanes& out);

/// out[l] = tensor[offsets[l]] where mask[l] (or mask is null), else `otherwise`.
void gather(const ir::Tensor& tensor, const int64_t* offsets, const uint8_t* mask, double otherwise, int count,
            Lanes& out);
/// out[l] = tensor[first + l · stride].
void gather(const ir::Tensor& tensor, int64_t first, int64_t stride, int count, Lanes& out);
/// tensor[offsets[l]] = in[l] where mask[l].
void scatter(const Lanes& in, const int64_t* offsets, const uint8_t* mask, int count, ir::Tensor& tensor);

/// Rounds or wraps the lanes to their type, after an operation in the wider representation.
void settle(Lanes& lanes, int count);

}  // namespace rooftune::kernel
