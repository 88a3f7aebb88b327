"""ResNet-50 (v1.5), MobileNetV2 and U-Net as ONNX graphs with He-initialised seeded weights.

Batch normalisation keeps its own node. Its statistics are measured, as training would: two noise images are carried
through the network by numpy while it is being written, so that activations stay O(1) at every depth. The statistics are
rounded, so that they do not depend on the machine's BLAS."""
import math

import numpy as np
from onnx_builder import Builder, random_normal, random_uniform


def rounded(x):
    """To three significant digits."""
    scale = 10.0 ** (2 - np.floor(np.log10(np.maximum(np.abs(x), 1e-6))))
    return (np.round(x * scale) / scale).astype(np.float32)


def conv2d(x, w, stride, groups):
    """Convolution with padding k // 2, one kernel tap at a time."""
    n, c, h, width = x.shape
    out, per_group, k, _ = w.shape
    pad = k // 2
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    oh, ow = (h + 2 * pad - k) // stride + 1, (width + 2 * pad - k) // stride + 1
    y = np.zeros((n, out, oh, ow), np.float32)
    for dy in range(k):
        for dx in range(k):
            tap = x[:, :, dy : dy + stride * (oh - 1) + 1 : stride, dx : dx + stride * (ow - 1) + 1 : stride]
            if groups == c and per_group == 1:
                y += w[:, 0, dy, dx].reshape(1, -1, 1, 1) * tap
            else:
                y += (w[:, :, dy, dx] @ tap.reshape(n, c, -1)).reshape(y.shape)
    return y


class Cnn(Builder):
    """Layers over feature maps; `values` holds what each gives on the two images."""

    def __init__(self, name, size):
        super().__init__(name)
        self.x = self.input("x", np.float32, [1, 3, size, size])
        self.values = {self.x: np.random.default_rng(1).standard_normal((2, 3, size, size), dtype=np.float32)}

    def conv(self, x, name, out, kernel, stride=1, groups=1, bias=False):
        shape = (out, self.values[x].shape[1] // groups, kernel, kernel)
        w = random_normal(name + ".weight", shape, math.sqrt(2 / np.prod(shape[1:])))
        inputs = [x, self.weight(name + ".weight", w)]
        if bias:
            inputs.append(self.weight(name + ".bias", random_uniform(name + ".bias", out, -0.2, 0.2)))
        pad = kernel // 2
        with self.scope(name):
            y = self.op("Conv", *inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4,
                        dilations=[1, 1], group=groups)
        self.values[y] = conv2d(self.values[x], w, stride, groups)
        return y

    def batch_norm(self, x, name):
        value = self.values.pop(x)
        c = value.shape[1]
        gamma = random_uniform(name + ".weight", c, 0.7, 1.3)
        beta = random_uniform(name + ".bias", c, -0.2, 0.2)
        mean, var = rounded(value.mean(axis=(0, 2, 3))), rounded(value.var(axis=(0, 2, 3)))
        stored = [(".weight", gamma), (".bias", beta), (".running_mean", mean), (".running_var", var)]
        with self.scope(name):
            y = self.op("BatchNormalization", x, *[self.weight(name + k, v) for k, v in stored],
                        epsilon=1e-5, momentum=0.9)
        scale = gamma / np.sqrt(var + 1e-5)
        self.values[y] = value * scale.reshape(1, -1, 1, 1) + (beta - mean * scale).reshape(1, -1, 1, 1)
        return y

    def relu(self, x):
        y = self.op("Relu", x)
        self.values[y] = np.maximum(self.values.pop(x), 0)
        return y

    def relu6(self, x):
        y = self.op("Clip", x, self.f32(0), self.f32(6))
        self.values[y] = np.clip(self.values.pop(x), 0, 6)
        return y

    def unit(self, x, name, out, kernel, stride=1, groups=1, act="relu"):
        """Convolution, batch normalisation, activation."""
        y = self.batch_norm(self.conv(x, name + ".0", out, kernel, stride, groups), name + ".1")
        with self.scope(name + ".2"):
            return getattr(self, act)(y) if act else y

    def add(self, a, b):
        y = self.op("Add", a, b)
        self.values[y] = self.values[a] + self.values[b]
        return y

    def max_pool(self, x, kernel, stride, pad):
        y = self.op("MaxPool", x, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, ceil_mode=0)
        padded = np.pad(self.values[x], ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
        self.values[y] = windows[:, :, ::stride, ::stride].max(axis=(4, 5))
        return y

    def upsample(self, x, name, out):
        """ConvTranspose 2x2, stride 2: every output pixel has one tap."""
        value = self.values[x]
        n, c, h, width = value.shape
        w = random_normal(name + ".weight", (c, out, 2, 2), math.sqrt(1 / c))
        bias = random_uniform(name + ".bias", out, -0.1, 0.1)
        y = self.op("ConvTranspose", x, self.weight(name + ".weight", w), self.weight(name + ".bias", bias),
                    kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4, dilations=[1, 1], group=1)
        taps = (w.reshape(c, -1).T @ value.reshape(n, c, -1)).reshape(n, out, 2, 2, h, width)
        self.values[y] = taps.transpose(0, 1, 4, 2, 5, 3).reshape(n, out, 2 * h, 2 * width) + bias.reshape(1, -1, 1, 1)
        return y

    def concat(self, a, b):
        y = self.op("Concat", a, b, axis=1)
        self.values[y] = np.concatenate([self.values[a], self.values[b]], axis=1)
        return y

    def classify(self, x, classes=1000):
        c = self.values[x].shape[1]
        w = self.weight("fc.weight", random_normal("fc.weight", (classes, c), 1 / math.sqrt(c)))
        b = self.weight("fc.bias", random_uniform("fc.bias", classes, -0.1, 0.1))
        flat = self.op("Flatten", self.op("GlobalAveragePool", x), axis=1)
        with self.scope("fc"):
            return self.finish(self.op("Gemm", flat, w, b, alpha=1.0, beta=1.0, transB=1), [1, classes])


def image(size):
    return {"x": np.random.default_rng(0).standard_normal((1, 3, size, size), dtype=np.float32)}


def resnet50():
    b = Cnn("resnet50", 224)
    x = b.max_pool(b.unit(b.x, "stem", 64, 7, 2), 3, 2, 1)
    for stage, (width, count, first_stride) in enumerate([(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)], 1):
        for i in range(count):
            name, stride = f"layer{stage}.{i}", first_stride if i == 0 else 1
            y = b.unit(x, name + ".conv1", width, 1)
            y = b.unit(y, name + ".conv2", width, 3, stride)
            y = b.unit(y, name + ".conv3", 4 * width, 1, act=None)
            short = b.unit(x, name + ".downsample", 4 * width, 1, stride, act=None) if i == 0 else x
            with b.scope(name):
                x = b.relu(b.add(y, short))
    return b.classify(x), image(224)


def mobilenetv2():
    b = Cnn("mobilenetv2", 224)
    x, channels = b.unit(b.x, "features.0", 32, 3, 2, act="relu6"), 32
    blocks = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    index = 0
    for expand, out, count, first_stride in blocks:
        for i in range(count):
            index += 1
            name, stride, hidden = f"features.{index}", first_stride if i == 0 else 1, channels * expand
            y = x if expand == 1 else b.unit(x, name + ".expand", hidden, 1, act="relu6")
            y = b.unit(y, name + ".depthwise", hidden, 3, stride, groups=hidden, act="relu6")
            y = b.unit(y, name + ".project", out, 1, act=None)
            if stride == 1 and channels == out:
                with b.scope(name):
                    y = b.add(x, y)
            x, channels = y, out
    return b.classify(b.unit(x, "features.18", 1280, 1, act="relu6")), image(224)


def unet(base=32, size=256):
    b = Cnn("unet", size)
    widths = [base * 2**k for k in range(5)]
    double = lambda x, name, out: b.unit(b.unit(x, name + ".0", out, 3), name + ".1", out, 3)
    x, skips = b.x, []
    for k, width in enumerate(widths):
        with b.scope(f"down{k}"):
            x = x if k == 0 else b.max_pool(x, 2, 2, 0)
        x = double(x, f"enc.{k}", width)
        skips.append(x)
    for k in (3, 2, 1, 0):
        name, out = f"up.{k}", widths[k]
        with b.scope(name):
            joined = b.concat(skips[k], b.upsample(x, name, out))
        x = double(joined, f"dec.{k}", out)
    return b.finish(b.conv(x, "head", 2, 1, bias=True), [1, 2, size, size]), image(size)
