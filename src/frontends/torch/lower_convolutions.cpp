// Convolutions and their transposes, padding, and the patches that a convolution reads.
#include <algorithm>

#include "frontends/torch/shapes.h"

namespace rooftune::frontends::torch_format {
namespace {

struct Window {
  int64_t dims = 0;  // spatial axes
  std::vector<int64_t> stride, before, after, dilation, output_padding;
  int64_t groups = 1;
  bool transposed = false;
};

Window read_window(Context& c, bool transposed) {
  Window w;
  w.dims = c.rank_of("weight") - 2;
  if (w.dims < 1 || w.dims > 3) c.fail(fmt::format("the weight has rank {}; 3 to 5 are supported", w.dims + 2));
  const auto n = static_cast<size_t>(w.dims);
  w.transposed = transposed;
  w.stride = c.integers("stride", n, 1);
  w.dilation = c.integers("dilation", n, 1);
  w.groups = c.integer("groups", 1);
  w.output_padding = c.integers("output_padding", n, 0);
  const Argument* padding = c.has("padding") ? &c.argument("padding") : nullptr;
  if (padding == nullptr || !std::holds_alternative<std::string>(*padding)) {
    w.before = w.after = c.integers("padding", n, 0);
    return w;
  }
  w.before.assign(n, 0);
  w.after.assign(n, 0);
  const std::string& mode = std::get<std::string>(*padding);
  if (mode == "valid") return w;
  if (mode != "same") c.fail(fmt::format("padding '{}' is none of 'same' and 'valid'", mode));
  for (size_t i = 0; i < n; ++i) {
    const ir::Dim& kernel = c.shape_of_argument("weight")[i + 2];
    if (!kernel.is_static()) c.fail("the size of the weight depends on the inputs");
    if (kernel.value() < 1 || kernel.value() > (1 << 20))
      c.fail(fmt::format("a kernel of {} is out of range", kernel.value()));
    const int64_t all = w.dilation[i] * (kernel.value() - 1);
    w.before[i] = all / 2;
    w.after[i] = all - w.before[i];
  }
  return w;
}

void convolve(Context& c, const Window& w) {
  ValueId x = c.tensor("input");
  const bool one_image = c.rank_of("input") == w.dims + 1;
  if (one_image) x = c.unsqueeze(x, {0});
  std::vector<int64_t> pads = w.before;
  pads.insert(pads.end(), w.after.begin(), w.after.end());
  Attributes attributes{{"strides", w.stride}, {"pads", pads}, {"dilations", w.dilation}, {"group", w.groups}};
  if (w.transposed) attributes["output_padding"] = w.output_padding;
  std::vector<ValueId> inputs{x, c.tensor("weight")};
  if (c.has("bias")) inputs.push_back(c.tensor("bias"));
  const ValueId y = c.op(w.transposed ? "ConvTranspose" : "Conv", std::move(inputs), std::move(attributes));
  c.give(one_image ? c.squeeze(y, {0}) : y);
}

// --- padding

/// PyTorch lists (before, after) from the last axis on; ONNX all befores, then all afters. Negative ones crop.
ValueId padded(Context& c, ValueId x, int64_t rank, const std::vector<Size>& pad, const std::string& mode,
               ValueId value) {
  if (pad.size() % 2 != 0 || static_cast<int64_t>(pad.size()) / 2 > rank)
    c.fail(fmt::format("pad has {} numbers for a tensor of rank {}", pad.size(), rank));
  std::vector<Size> before(static_cast<size_t>(rank), 0), after(static_cast<size_t>(rank), 0);
  for (size_t i = 0; i < pad.size() / 2; ++i) {
    before[static_cast<size_t>(rank) - 1 - i] = pad[2 * i];
    after[static_cast<size_t>(rank) - 1 - i] = pad[2 * i + 1];
  }
  before.insert(before.end(), after.begin(), after.end());
  std::vector<ValueId> inputs{x, c.sizes(before)};
  if (value != kNone) inputs.push_back(value);
  return c.op("Pad", std::move(inputs), {{"mode", mode}});
}

void pad_mode(Context& c, const std::string& mode) {
  const ValueId x = c.tensor("self");
  ValueId value = kNone;
  if (mode == "constant" && c.has("value")) value = c.operand("value", c.dtype(x));
  c.give(padded(c, x, c.rank_of("self"), c.sizes(c.has("pad") ? "pad" : "padding"), mode, value));
}

void pad(Context& c) {
  const std::string mode = c.text("mode", "constant");
  if (mode == "constant" || mode == "reflect") return pad_mode(c, mode);
  if (mode == "replicate") return pad_mode(c, "edge");
  if (mode == "circular") return pad_mode(c, "wrap");
  c.fail(fmt::format("mode '{}' is none of constant, reflect, replicate, circular", mode));
}

/// im2col: [N, C, H, W] → [N, C·kh·kw, windows]: the rows and columns of all windows are picked, then put in order.
void unfold_images(Context& c) {
  const auto kernel = c.integers("kernel_size", 2, 1), dilation = c.integers("dilation", 2, 1),
             padding = c.integers("padding", 2, 0), stride = c.integers("stride", 2, 1);
  const ir::Shape& shape = c.shape_of_argument("self");
  if (shape.size() != 4 || !shape[2].is_static() || !shape[3].is_static()) c.fail("only static images are supported");
  ValueId x = padded(c, c.tensor("self"), 4, {padding[1], padding[1], padding[0], padding[0]}, "constant", kNone);
  for (const int64_t k : kernel)
    if (k < 1 || k > (1 << 15)) c.fail(fmt::format("a kernel of {} is out of range", k));
  int64_t windows = 1;
  for (size_t i = 0; i < 2; ++i) {  // axis 2 + 2i becomes [kernel, windows]
    const int64_t reach = shape[2 + i].value() + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1;
    if (stride[i] < 1 || reach < 0 || reach > (1 << 20)) c.fail("the windows do not fit, or are too many");
    const int64_t count = reach / stride[i] + 1;
    windows *= count;
    std::vector<int64_t> at;
    for (int64_t k = 0; k < kernel[i]; ++k)
      for (int64_t n = 0; n < count; ++n) at.push_back(n * stride[i] + k * dilation[i]);
    x = c.gather(x, c.constant(ir::Tensor::of<int64_t>(DType::i64, {kernel[i], count}, at)),
                 2 + 2 * static_cast<int64_t>(i));
  }
  x = c.transpose(x, {0, 1, 2, 4, 3, 5});
  if (!shape[1].is_static() || shape[1].value() > (int64_t{1} << 30)) c.fail("the number of channels must be known");
  c.give(c.reshape(x, {0, shape[1].value() * kernel[0] * kernel[1], windows}));
}

void fold_images(Context& c) {
  const auto size = c.integers("output_size", 2, 1), kernel = c.integers("kernel_size", 2, 1),
             dilation = c.integers("dilation", 2, 1), padding = c.integers("padding", 2, 0),
             stride = c.integers("stride", 2, 1);
  if (c.rank_of("self") != 3) c.fail("only batches of images are supported");
  const std::vector<int64_t> pads{padding[0], padding[1], padding[0], padding[1]};
  c.give(c.op("Col2Im", {c.tensor("self"), c.ints(size), c.ints(kernel)},
              {{"dilations", dilation}, {"pads", pads}, {"strides", stride}}));
}

}  // namespace

void register_convolutions(Lowerings& t) {
  t.add({"aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default", "aten.conv1d.padding",
         "aten.conv2d.padding", "aten.conv3d.padding"},
        [](Context& c) { convolve(c, read_window(c, false)); });
  t.add({"aten.conv_transpose1d.default", "aten.conv_transpose2d.input", "aten.conv_transpose3d.input"},
        [](Context& c) { convolve(c, read_window(c, true)); });
  t.add({"aten.convolution.default", "aten._convolution.default"},
        [](Context& c) { convolve(c, read_window(c, c.flag("transposed", false))); });
  t.add("aten.constant_pad_nd.default", [](Context& c) { pad_mode(c, "constant"); });
  t.add("aten.pad.default", pad);
  for (const char* dims : {"1d", "2d", "3d"}) {
    t.add(fmt::format("aten.reflection_pad{}.default", dims), [](Context& c) { pad_mode(c, "reflect"); });
    t.add(fmt::format("aten.replication_pad{}.default", dims), [](Context& c) { pad_mode(c, "edge"); });
  }
  t.add("aten.im2col.default", unfold_images);
  t.add("aten.col2im.default", fold_images);
}

}  // namespace rooftune::frontends::torch_format
