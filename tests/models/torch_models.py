"""The same six models as PyTorch modules, exported by PyTorch: what users' own files look like. Seeded random weights at
real sizes, MiniLM with its real weights. Needs torch==2.13.0, transformers, onnxscript."""
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import minilm  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn as nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402

SEQUENCE = 128


def unit(inputs, out, kernel, stride=1, groups=1, act=nn.ReLU):
    layers = [nn.Conv2d(inputs, out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(out)]
    return nn.Sequential(*layers, *([act(inplace=True)] if act else []))


class Bottleneck(nn.Module):
    """ResNet-50 v1.5: the stride is on the 3x3."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        out = 4 * width
        self.body = nn.Sequential(unit(inputs, width, 1), unit(width, width, 3, stride), unit(width, out, 1, act=None))
        same = stride == 1 and inputs == out
        self.downsample = nn.Identity() if same else unit(inputs, out, 1, stride, act=None)

    def forward(self, x):
        return F.relu(self.body(x) + self.downsample(x))


def head(channels):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]


def resnet50():
    layers, channels = [unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Bottleneck(channels, width, stride if i == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, *head(2048))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, out, stride, expand):
        super().__init__()
        hidden = inputs * expand
        self.residual = stride == 1 and inputs == out
        self.body = nn.Sequential(*([unit(inputs, hidden, 1, act=nn.ReLU6)] if expand > 1 else []),
                                  unit(hidden, hidden, 3, stride, groups=hidden, act=nn.ReLU6),
                                  unit(hidden, out, 1, act=None))

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


def mobilenetv2():
    layers, channels = [unit(3, 32, 3, 2, act=nn.ReLU6)], 32
    for expand, out, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                       (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(count):
            layers.append(InvertedResidual(channels, out, stride if i == 0 else 1, expand))
            channels = out
    return nn.Sequential(*layers, unit(channels, 1280, 1, act=nn.ReLU6), *head(1280))


class UNet(nn.Module):
    def __init__(self, base=32):
        super().__init__()
        c = [base * 2**k for k in range(5)]
        double = lambda i, o: nn.Sequential(unit(i, o, 3), unit(o, o, 3))
        self.enc = nn.ModuleList([double(3 if k == 0 else c[k - 1], c[k]) for k in range(5)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(c[k + 1], c[k], 2, 2) for k in range(4)])
        self.dec = nn.ModuleList([double(2 * c[k], c[k]) for k in range(4)])
        self.head = nn.Conv2d(base, 2, 1)

    def forward(self, x):
        skips = []
        for k, enc in enumerate(self.enc):
            x = enc(x if k == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for k in (3, 2, 1, 0):
            x = self.dec[k](torch.cat([skips[k], self.up[k](x)], 1))
        return self.head(x)


class Wrapped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner


class Encoder(Wrapped):
    def forward(self, input_ids, attention_mask):
        return self.inner(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class SentenceEncoder(Wrapped):
    """Mean pooling over the mask and L2 normalisation, as sentence-transformers does."""

    def forward(self, input_ids, attention_mask):
        hidden = self.inner(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        w = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return F.normalize((hidden * w).sum(1) / w.sum(1).clamp(min=1e-9), p=2, dim=1)


class Decoder(Wrapped):
    def forward(self, input_ids):
        return self.inner(input_ids=input_ids, use_cache=False).logits


def vision(module, size):
    """He weights; batch-norm statistics measured on noise, as training would."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.7, 1.3)
            nn.init.uniform_(layer.bias, -0.2, 0.2)
            layer.momentum = None
    module.train()
    with torch.no_grad():
        for _ in range(2):
            module(torch.randn(4, 3, size, size))
    return module, {"x": np.random.default_rng(0).standard_normal((1, 3, size, size), dtype=np.float32)}


def text(name):
    import transformers as tf
    rng, mask = np.random.default_rng(0), np.ones((1, SEQUENCE), np.int64)
    ids = lambda low, high: rng.integers(low, high, (1, SEQUENCE))
    if name == "bert_base":
        module = Encoder(tf.BertModel(tf.BertConfig(attn_implementation="eager"), add_pooling_layer=False))
        return module, {"input_ids": ids(0, 30522), "attention_mask": mask}
    if name == "gpt2_small":
        return Decoder(tf.GPT2LMHeadModel(tf.GPT2Config(attn_implementation="eager"))), {"input_ids": ids(0, 50257)}
    inner = tf.AutoModel.from_pretrained(str(minilm.package_dir()), attn_implementation="eager", dtype=torch.float32)
    return SentenceEncoder(inner), {"input_ids": ids(1000, 30522), "attention_mask": mask}


def build(name):
    """(module in eval mode, inputs as numpy arrays by name)"""
    torch.manual_seed(0)
    if name in ("resnet50", "mobilenetv2", "unet"):
        module = {"resnet50": resnet50, "mobilenetv2": mobilenetv2, "unet": UNet}[name]()
        module, inputs = vision(module, 256 if name == "unet" else 224)
    else:
        module, inputs = text(name)
    return module.eval(), inputs


def export(name, path):
    """Writes the ONNX file; returns (inputs, PyTorch's output)."""
    module, inputs = build(name)
    arguments = tuple(torch.from_numpy(v) for v in inputs.values())
    with torch.no_grad():
        ref = module(*arguments)
    partial = path.with_name(path.name + ".partial")
    torch.onnx.export(module, arguments, str(partial), input_names=list(inputs), output_names=["y"], opset_version=18,
                      dynamo=True, external_data=False, verbose=False)
    os.replace(partial, path)
    return inputs, ref.numpy()
