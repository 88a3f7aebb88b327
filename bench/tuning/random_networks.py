"""Networks of random layers, to learn from how long kernels take: `random_networks.py FOLDER [--seed 1] [--count 12]`.

Half of them are chains of convolutions (plain, pointwise, strided, depthwise, transposed, with activations, additions,
concatenations and pooling between), half are blocks of products, normalisations and attention. Sizes are drawn, not taken from any model, so
what is learned from them may be tested on every model.
"""
import argparse
import random
import sys
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "models"))
from onnx_builder import Builder  # noqa: E402

CHANNELS = (16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024)


def weight(b, *shape):
    fan = int(np.prod(shape[1:])) or 1
    return b.weight(f"w{len(b.weights)}", (np.random.standard_normal(shape) / fan ** 0.5).astype(np.float32))


def activation(b, draw, x):
    kind = draw.choice(("relu", "clip", "none", "sigmoid", "swish"))
    if kind == "relu":
        return b.op("Relu", x)
    if kind == "clip":
        return b.op("Clip", x, b.f32(0.0), b.f32(6.0))
    if kind == "sigmoid":
        return b.op("Sigmoid", x)
    if kind == "swish":
        return b.op("Mul", x, b.op("Sigmoid", x))
    return x


def convolutions(name, draw):
    b = Builder(name)
    size, channels = draw.choice((28, 40, 56, 64, 80, 112, 128)), draw.choice((3, 8, 16, 32))
    if draw.random() < 0.4:   # a picture, and its first layer
        size, channels = draw.choice((160, 192, 224, 256)), draw.choice((1, 3, 3))
    x = b.input("x", np.float32, [1, channels, size, size])
    if channels <= 3:
        k, stride, out = draw.choice((3, 5, 7)), 2 if size > 128 else draw.choice((1, 2)), draw.choice((16, 24, 32, 48, 64))
        x = b.op("Conv", x, weight(b, out, channels, k, k), weight(b, out), kernel_shape=[k, k], strides=[stride] * 2, pads=[k // 2] * 4)
        x = activation(b, draw, x)
        channels, size = out, (size + stride - 1) // stride
    for _ in range(14):
        kind = draw.choice(("plain", "plain", "pointwise", "pointwise", "depthwise", "depthwise", "residual", "pool", "transposed", "concat"))
        most = max(c for c in CHANNELS if c * size * size <= 420000 or c == 16)
        out = draw.choice([c for c in CHANNELS if c <= most])
        if kind == "plain":
            k, stride = draw.choice((3, 3, 3, 5, 7)), draw.choice((1, 1, 2)) if size >= 14 else 1
            if channels * out * k * k > 2500000 or channels * out * k * k * size * size > 2.5e9 * stride * stride:
                continue
            x = b.op("Conv", x, weight(b, out, channels, k, k), weight(b, out), kernel_shape=[k, k], strides=[stride] * 2, pads=[k // 2] * 4)
            channels, size = out, (size + stride - 1) // stride
        elif kind == "pointwise":
            x = b.op("Conv", x, weight(b, out, channels, 1, 1), weight(b, out), kernel_shape=[1, 1])
            channels = out
        elif kind == "depthwise":
            k, stride = draw.choice((3, 3, 5, 7)), draw.choice((1, 1, 2)) if size >= 14 else 1
            x = b.op("Conv", x, weight(b, channels, 1, k, k), weight(b, channels), kernel_shape=[k, k], strides=[stride] * 2, pads=[k // 2] * 4,
                     group=channels)
            size = (size + stride - 1) // stride
        elif kind == "residual":
            y = b.op("Conv", x, weight(b, channels, channels, 1, 1), weight(b, channels), kernel_shape=[1, 1])
            x = b.op("Add", x, y)
        elif kind == "pool" and size >= 14:
            if draw.random() < 0.4:
                x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
                size -= size % 2
            elif draw.random() < 0.5:
                x = b.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
                size += size % 2
            else:
                x = b.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
            size //= 2
        elif kind == "concat" and 2 * channels * size * size <= 1000000:
            out = min(out, 2 * channels)
            x = b.op("Concat", x, b.op("Conv", x, weight(b, out, channels, 1, 1), weight(b, out), kernel_shape=[1, 1]), axis=1)
            channels += out
        elif kind == "transposed" and size <= 40 and channels * 64 < 40000:
            out = min(out, 128)
            x = b.op("ConvTranspose", x, weight(b, channels, out, 2, 2), weight(b, out), kernel_shape=[2, 2], strides=[2, 2])
            channels, size = out, 2 * size
        x = activation(b, draw, x)
    if draw.random() < 0.25:  # of every pixel
        out = draw.choice((1, 2, 4, 21))
        x = b.op("Conv", x, weight(b, out, channels, 1, 1), weight(b, out), kernel_shape=[1, 1])
        return b.finish(x, [1, out, size, size])
    x = b.op("GlobalAveragePool", x)
    x = b.op("Flatten", x)
    out = draw.choice((10, 100, 365, 1000))
    y = b.op("Gemm", x, weight(b, out, channels), weight(b, out), transB=1)
    return b.finish(y, [1, out])


def products(name, draw):
    b = Builder(name)
    rows, width = draw.choice((1, 16, 49, 64, 77, 100, 128, 197, 256, 384)), draw.choice((64, 96, 128, 192, 256, 320, 384, 512, 640, 768, 1024))
    x = b.input("x", np.float32, [1, rows, width])
    for _ in range(3):
        kind = draw.choice(("attention", "feed forward", "feed forward", "gated", "plain"))
        if kind == "attention":
            heads = draw.choice([h for h in (2, 3, 4, 6, 8, 12, 16) if width % h == 0 and width // h >= 16])
            depth = width // heads
            def part(transpose):
                p = b.op("Add", b.op("MatMul", x, weight(b, width, width)), weight(b, width))
                p = b.op("Reshape", p, b.i64(1, rows, heads, depth))
                return b.op("Transpose", p, perm=transpose)
            q, k, v = part([0, 2, 1, 3]), part([0, 2, 3, 1]), part([0, 2, 1, 3])
            s = b.op("Softmax", b.op("Mul", b.op("MatMul", q, k), b.f32(depth ** -0.5)), axis=-1)
            o = b.op("Reshape", b.op("Transpose", b.op("MatMul", s, v), perm=[0, 2, 1, 3]), b.i64(1, rows, width))
            y = b.op("Add", b.op("MatMul", o, weight(b, width, width)), weight(b, width))
        else:
            inner = draw.choice((1, 2, 3, 4)) * width + draw.choice((0, 0, 16, 40))
            h = b.op("Add", b.op("MatMul", x, weight(b, width, inner)), weight(b, inner))
            if kind == "feed forward":
                e = b.op("Erf", b.op("Mul", h, b.f32(0.70710678)))
                h = b.op("Mul", b.op("Mul", h, b.op("Add", e, b.f32(1.0))), b.f32(0.5))
            elif kind == "gated":
                h = b.op("Mul", h, b.op("Sigmoid", b.op("MatMul", x, weight(b, width, inner))))
            else:
                h = b.op(draw.choice(("Relu", "Tanh")), h)
            y = b.op("Add", b.op("MatMul", h, weight(b, inner, width)), weight(b, width))
        x = b.op("Add", x, y)
        if draw.random() < 0.7:
            x = b.op("LayerNormalization", x, weight(b, width), weight(b, width), axis=-1)
    out = draw.choice((10, 128, 1000, 5000, 16000))
    y = b.op("MatMul", x, weight(b, width, out))
    if draw.random() < 0.5:
        y = b.op("Softmax", y, axis=-1)
    return b.finish(y, [1, rows, out])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=12)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for i in range(args.count):
        draw = random.Random(1000 * args.seed + i)
        np.random.seed(i)
        kind = convolutions if i % 2 == 0 else products
        name = f"random_{args.seed}_{i:02}"
        onnx.save(kind(name, draw), args.folder / f"{name}.onnx")
        print(args.folder / f"{name}.onnx")


if __name__ == "__main__":
    main()
