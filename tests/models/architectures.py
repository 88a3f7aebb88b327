"""Networks of many kinds with random weights, in plain PyTorch or from configurations of transformers: what users bring.

`architectures()` gives {name: function → (module in eval mode, example inputs)}. Inputs are made anew at every call.
`SMALL` sizes are for tests; `size="real"` is for the benchmark.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn


def image(batch, side):
    return (torch.randn(batch, 3, side, side),)


def ids(batch, length, vocabulary=200):
    return torch.randint(0, vocabulary, (batch, length))


# --- convolutional networks

class ConvNeXtBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.rand(width))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    def __init__(self, width, depths, classes=10):
        super().__init__()
        layers = [nn.Conv2d(3, width, 4, 4)]
        for i, depth in enumerate(depths):
            if i:
                layers += [nn.GroupNorm(1, width), nn.Conv2d(width, 2 * width, 2, 2)]
                width *= 2
            layers += [ConvNeXtBlock(width) for _ in range(depth)]
        self.body, self.norm, self.head = nn.Sequential(*layers), nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.norm(self.body(x).mean((-2, -1))))


class MBConv(nn.Module):
    def __init__(self, i, o, expand, kernel, stride):
        super().__init__()
        m = i * expand
        self.skip = stride == 1 and i == o
        self.expand = nn.Sequential(nn.Conv2d(i, m, 1, bias=False), nn.BatchNorm2d(m), nn.SiLU())
        self.depthwise = nn.Sequential(nn.Conv2d(m, m, kernel, stride, kernel // 2, groups=m, bias=False), nn.BatchNorm2d(m), nn.SiLU())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(m, max(1, i // 4), 1), nn.SiLU(), nn.Conv2d(max(1, i // 4), m, 1), nn.Sigmoid())
        self.project = nn.Sequential(nn.Conv2d(m, o, 1, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.depthwise(self.expand(x))
        y = self.project(y * self.squeeze(y))
        return x + y if self.skip else y


def efficientnet(width, repeats):
    layers = [nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.SiLU()]
    for i, (kernel, stride, factor) in enumerate([(3, 1, 1), (3, 2, 1.5), (5, 2, 2), (3, 2, 3), (5, 1, 4)]):
        out = int(16 * factor) * width // 16
        for r in range(repeats):
            layers.append(MBConv(width if not r else out, out, 1 if i == 0 else 4, kernel, stride if not r else 1))
        width = out
    return nn.Sequential(*layers, nn.Conv2d(width, 4 * width, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(4 * width, 10))


class DenseLayer(nn.Module):
    def __init__(self, i, growth):
        super().__init__()
        self.n1, self.c1 = nn.BatchNorm2d(i), nn.Conv2d(i, 4 * growth, 1, bias=False)
        self.n2, self.c2 = nn.BatchNorm2d(4 * growth), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, features):
        y = self.c1(F.relu(self.n1(torch.cat(features, 1)), inplace=True))
        return self.c2(F.relu(self.n2(y), inplace=True))


class DenseNet(nn.Module):
    def __init__(self, growth, blocks):
        super().__init__()
        width = 2 * growth
        self.stem = nn.Sequential(nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        for i, count in enumerate(blocks):
            self.blocks.append(nn.ModuleList(DenseLayer(width + j * growth, growth) for j in range(count)))
            width += count * growth
            if i + 1 < len(blocks):
                self.transitions.append(nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)))
                width //= 2
        self.norm, self.head = nn.BatchNorm2d(width), nn.Linear(width, 10)

    def forward(self, x):
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            features = [x]
            for layer in block:
                features.append(layer(features))
            x = torch.cat(features, 1)
            if i < len(self.transitions):
                x = self.transitions[i](x)
        return self.head(torch.flatten(F.adaptive_avg_pool2d(F.relu(self.norm(x)), 1), 1))


class Residual(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True), nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o))
        self.shortcut = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o)) if stride > 1 or i != o else nn.Identity()

    def forward(self, x):
        y = self.body(x)
        y += self.shortcut(x)
        return F.relu(y, inplace=True)


def resnet(width, depth):
    layers = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    for i in range(4):
        o = width * 2 ** min(i, 1) if i < 2 else width * 2 ** i
        last = width * 2 ** (i - 1) if i else width
        layers += [Residual(last if j == 0 else o, o, 2 if i and j == 0 else 1) for j in range(depth)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(o, 10))


class UNet(nn.Module):
    def __init__(self, width):
        super().__init__()
        def double(i, o):
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True), nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True))
        self.down = nn.ModuleList([double(3, width), double(width, 2 * width)])
        self.middle = double(2 * width, 4 * width)
        self.up = nn.ModuleList([nn.ConvTranspose2d(4 * width, 2 * width, 2, 2), nn.ConvTranspose2d(2 * width, width, 2, 2)])
        self.joined = nn.ModuleList([double(4 * width, 2 * width), double(2 * width, width)])
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x):
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.middle(x)
        for up, block in zip(self.up, self.joined):
            x = block(torch.cat([up(x), skips.pop()], 1))
        return self.head(x)


# --- detection

class Detector(nn.Module):
    """A one-stage detector with strides 8 and 16, distances to box sides, and suppression of all but the best boxes."""

    def __init__(self, width, classes=5, best=20, threshold=0.5):
        super().__init__()
        def conv(i, o, s):
            return nn.Sequential(nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.SiLU())
        self.stem = nn.Sequential(conv(3, width, 2), conv(width, width, 2), conv(width, 2 * width, 2))
        self.deep, self.lateral = conv(2 * width, 2 * width, 2), conv(4 * width, 2 * width, 1)
        self.heads = nn.ModuleList(nn.Conv2d(2 * width, 4 + classes, 1) for _ in range(2))
        self.best, self.threshold = best, threshold

    def forward(self, x):
        fine = self.stem(x)
        coarse = self.deep(fine)
        fine = self.lateral(torch.cat([fine, F.interpolate(coarse, scale_factor=2.0, mode="nearest")], 1))
        boxes, scores = [], []
        for level, head, stride in ((fine, self.heads[0], 8), (coarse, self.heads[1], 16)):
            y = head(level).flatten(2).transpose(1, 2)
            rows, columns = torch.meshgrid(torch.arange(level.shape[2]), torch.arange(level.shape[3]), indexing="ij")
            centres = (torch.stack([columns, rows], -1).reshape(-1, 2) + 0.5) * stride
            distances = F.softplus(y[..., :4]) * stride
            boxes.append(torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], -1))
            scores.append(y[..., 4:].sigmoid())
        boxes, scores = torch.cat(boxes, 1), torch.cat(scores, 1)
        confidence, label = scores.max(-1)
        confidence, order = confidence.topk(self.best, dim=1)
        boxes = boxes.gather(1, order.unsqueeze(-1).expand(-1, -1, 4))
        label = label.gather(1, order)
        return self.suppress(boxes, confidence, label)

    def suppress(self, boxes, confidence, label):
        low, high = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2]), torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
        shared = (high - low).clamp(min=0).prod(-1)
        area = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)
        overlap = shared / (area[:, :, None] + area[:, None, :] - shared + 1e-6)
        rivals = (overlap > self.threshold) & (label[:, :, None] == label[:, None, :])
        rivals = torch.triu(rivals, 1)  # only better ones suppress
        kept = torch.ones_like(confidence, dtype=torch.bool)
        for i in range(self.best):
            kept = kept & ~(rivals[:, i] & kept[:, i:i + 1])
        return boxes * kept.unsqueeze(-1), confidence * kept, torch.where(kept, label, -1)


class DetectionTransformer(nn.Module):
    def __init__(self, width, queries=10, heads=4):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 7, 4, 3), nn.ReLU(), nn.Conv2d(width, width, 3, 4, 1), nn.ReLU())
        self.transformer = nn.Transformer(width, heads, 2, 2, 2 * width, batch_first=True)
        self.queries, self.rows, self.columns = (nn.Parameter(torch.randn(n, w)) for n, w in ((queries, width), (50, width // 2), (50, width // 2)))
        self.classes, self.box = nn.Linear(width, 6), nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4))

    def forward(self, x):
        y = self.backbone(x)
        h, w = y.shape[-2:]
        places = torch.cat([self.columns[:w].unsqueeze(0).repeat(h, 1, 1), self.rows[:h].unsqueeze(1).repeat(1, w, 1)], -1).flatten(0, 1)
        y = self.transformer(places + y.flatten(2).permute(0, 2, 1), self.queries.unsqueeze(0).expand(x.shape[0], -1, -1))
        return {"logits": self.classes(y), "boxes": self.box(y).sigmoid()}


# --- vision transformers

class VisionTransformer(nn.Module):
    def __init__(self, side, patch, width, depth, heads):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, width)), nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, width))
        self.encoder = nn.Sequential(*[nn.TransformerEncoderLayer(width, heads, 4 * width, activation="gelu", batch_first=True, norm_first=True) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x):
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(x.shape[0], -1, -1), y], 1) + self.places
        return self.head(self.norm(self.encoder(y))[:, 0])


class WindowAttention(nn.Module):
    def __init__(self, width, heads, window):
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads))
        at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        relative = (at[:, :, None] - at[:, None, :]).permute(1, 2, 0) + window - 1
        self.register_buffer("index", relative[..., 0] * (2 * window - 1) + relative[..., 1])

    def forward(self, x, mask):
        windows, n, width = x.shape
        q, k, v = self.qkv(x).reshape(windows, n, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * (width // self.heads) ** -0.5) @ k.transpose(-2, -1)
        scores = scores + self.bias[self.index.view(-1)].view(n, n, -1).permute(2, 0, 1).unsqueeze(0)
        if mask is not None:
            scores = scores.view(-1, mask.shape[0], self.heads, n, n) + mask.unsqueeze(1).unsqueeze(0)
            scores = scores.view(windows, self.heads, n, n)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(windows, n, width))


class SwinBlock(nn.Module):
    def __init__(self, side, width, heads, window, shift):
        super().__init__()
        self.side, self.window, self.shift = side, window, shift
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = WindowAttention(width, heads, window)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        mask = None
        if shift:
            region = torch.zeros(1, side, side, 1)
            cuts = (slice(0, -window), slice(-window, -shift), slice(-shift, None))
            for i, rows in enumerate(cuts):
                for j, columns in enumerate(cuts):
                    region[:, rows, columns] = 3 * i + j
            region = self.split(region).squeeze(-1)
            mask = (region.unsqueeze(1) != region.unsqueeze(2)).float() * -100.0
        self.register_buffer("mask", mask)

    def split(self, x):
        b, h, w, c = x.shape
        x = x.view(b, h // self.window, self.window, w // self.window, self.window, c)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, self.window ** 2, c)

    def forward(self, x):
        b, h, w, c = x.shape
        y = self.n1(x)
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = self.attention(self.split(y), self.mask)
        y = y.view(b, h // self.window, w // self.window, self.window, self.window, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + y
        return x + self.mlp(self.n2(x))


class Swin(nn.Module):
    def __init__(self, side, width, heads, window=4):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        side //= 4
        self.first = nn.Sequential(SwinBlock(side, width, heads, window, 0), SwinBlock(side, width, heads, window, window // 2))
        self.merge_norm, self.merge = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)
        self.second = nn.Sequential(SwinBlock(side // 2, 2 * width, 2 * heads, window, 0))
        self.norm, self.head = nn.LayerNorm(2 * width), nn.Linear(2 * width, 10)

    def forward(self, x):
        x = self.first(self.patches(x).permute(0, 2, 3, 1))
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        x = self.second(self.merge(self.merge_norm(x)))
        return self.head(self.norm(x).mean((1, 2)))


# --- sequences

class Tagger(nn.Module):
    """An embedding, a recurrent network and a classifier per position."""

    def __init__(self, layer, width, **options):
        super().__init__()
        self.embedding = nn.Embedding(200, width)
        self.layer = layer(width, width, batch_first=True, **options)
        self.head = nn.Linear(width * (2 if options.get("bidirectional") else 1), 7)

    def forward(self, tokens):
        return self.head(self.layer(self.embedding(tokens))[0]).log_softmax(-1)


class Translator(nn.Module):
    def __init__(self, width, heads, depth):
        super().__init__()
        self.embedding = nn.Embedding(200, width)
        self.transformer = nn.Transformer(width, heads, depth, depth, 4 * width, batch_first=True)
        self.head = nn.Linear(width, 200)
        place = torch.arange(512).unsqueeze(1) * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        self.register_buffer("places", torch.stack([place.sin(), place.cos()], -1).flatten(1))

    def forward(self, source, target):
        def embed(t):
            return self.embedding(t) * math.sqrt(self.embedding.embedding_dim) + self.places[:t.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        padding = source == 0
        y = self.transformer(embed(source), embed(target), tgt_mask=mask, tgt_is_causal=True, src_key_padding_mask=padding, memory_key_padding_mask=padding)
        return self.head(y)


class Mamba(nn.Module):
    """A selective state space block, its recurrence written as a loop."""

    def __init__(self, width, state=8):
        super().__init__()
        inner = 2 * width
        self.norm, self.project = nn.RMSNorm(width), nn.Linear(width, 2 * inner, bias=False)
        self.conv = nn.Conv1d(inner, inner, 4, padding=3, groups=inner)
        self.select, self.step = nn.Linear(inner, 2 * state + 1, bias=False), nn.Linear(1, inner)
        self.a, self.d = nn.Parameter(torch.rand(inner, state)), nn.Parameter(torch.ones(inner))
        self.out, self.state = nn.Linear(inner, width, bias=False), state

    def forward(self, x):
        u, gate = self.project(self.norm(x)).chunk(2, -1)
        u = F.silu(self.conv(u.transpose(1, 2))[..., :x.shape[1]].transpose(1, 2))
        step, b, c = self.select(u).split([1, self.state, self.state], -1)
        step = F.softplus(self.step(step))
        decay, add = torch.exp(-step.unsqueeze(-1) * self.a.exp()), (step * u).unsqueeze(-1) * b.unsqueeze(2)
        h, outputs = torch.zeros_like(add[:, 0]), []
        for i in range(x.shape[1]):
            h = decay[:, i] * h + add[:, i]
            outputs.append((h * c[:, i].unsqueeze(1)).sum(-1))
        y = torch.stack(outputs, 1) + u * self.d
        return x + self.out(y * F.silu(gate))


class MixtureOfExperts(nn.Module):
    def __init__(self, width, experts=4, chosen=2):
        super().__init__()
        self.gate = nn.Linear(width, experts, bias=False)
        self.up, self.down = nn.Parameter(torch.randn(experts, width, 2 * width) * 0.1), nn.Parameter(torch.randn(experts, 2 * width, width) * 0.1)
        self.chosen = chosen

    def forward(self, x):
        weight, expert = self.gate(x).softmax(-1).topk(self.chosen, -1)
        weight = weight / weight.sum(-1, keepdim=True)
        share = torch.zeros(*x.shape[:-1], self.up.shape[0], dtype=x.dtype).scatter(-1, expert, weight)
        h = F.silu(torch.einsum("bsd,edh->besh", x, self.up))
        return torch.einsum("besh,ehd,bse->bsd", h, self.down, share)


class WaveNet(nn.Module):
    def __init__(self, width, layers):
        super().__init__()
        self.first = nn.Conv1d(1, width, 1)
        self.dilated = nn.ModuleList(nn.Conv1d(width, 2 * width, 2, dilation=2 ** i) for i in range(layers))
        self.residual, self.skip = (nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(layers)) for _ in range(2))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, 32, 1))

    def forward(self, x):
        x, total = self.first(x), 0
        for i, (conv, residual, skip) in enumerate(zip(self.dilated, self.residual, self.skip)):
            a, b = conv(F.pad(x, (2 ** i, 0))).chunk(2, 1)
            y = torch.tanh(a) * torch.sigmoid(b)
            total = total + skip(y)
            x = x + residual(y)
        return self.head(total)


class GraphNetwork(nn.Module):
    """Messages along edges, summed and averaged where they arrive."""

    def __init__(self, width, layers=2):
        super().__init__()
        self.first = nn.Linear(5, width)
        self.message, self.update = (nn.ModuleList(nn.Linear(2 * width, width) for _ in range(layers)) for _ in range(2))
        self.head = nn.Linear(width, 3)

    def forward(self, x, edges):
        x = self.first(x)
        source, target = edges[0], edges[1]
        degree = torch.zeros(x.shape[0]).index_add(0, target, torch.ones(target.shape[0])).clamp(min=1).unsqueeze(-1)
        for message, update in zip(self.message, self.update):
            m = F.relu(message(torch.cat([x[source], x[target]], -1)))
            total = torch.zeros_like(x).scatter_add(0, target.unsqueeze(-1).expand_as(m), m)
            x = F.relu(update(torch.cat([x, total / degree], -1))) + x
        return self.head(x.mean(0))


class DiffusionBlock(nn.Module):
    """A residual block told the time, self- and cross-attention, as in the U-Nets of image diffusion."""

    def __init__(self, width, heads=4, context=24):
        super().__init__()
        self.n1, self.c1 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))
        self.n2, self.c2 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)
        self.n3, self.n4, self.n5, self.n6 = nn.GroupNorm(8, width), nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.own, self.cross = nn.MultiheadAttention(width, heads, batch_first=True), nn.MultiheadAttention(width, heads, kdim=context, vdim=context, batch_first=True)
        self.up, self.down, self.shrink = nn.Linear(width, 8 * width), nn.Linear(4 * width, width), nn.Conv2d(width, width, 3, 2, 1)

    def forward(self, x, t, context):
        angle = t[:, None] * torch.exp(-math.log(10000.0) * torch.arange(16) / 16)
        time = self.time(torch.cat([angle.cos(), angle.sin()], -1))
        h = self.c1(F.silu(self.n1(x))) + time[:, :, None, None]
        x = x + self.c2(F.silu(self.n2(h)))
        b, c, height, width = x.shape
        y = self.n3(x).permute(0, 2, 3, 1).reshape(b, height * width, c)
        z = self.n4(y)
        y = y + self.own(z, z, z, need_weights=False)[0]
        y = y + self.cross(self.n5(y), context, context, need_weights=False)[0]
        a, gate = self.up(self.n6(y)).chunk(2, -1)
        y = y + self.down(a * F.gelu(gate))
        x = x + y.reshape(b, height, width, c).permute(0, 3, 1, 2)
        return self.shrink(F.interpolate(x, scale_factor=2.0, mode="nearest"))


# --- transformers

class Outputs(nn.Module):
    """A model of transformers as a function of tensors to a tuple of tensors."""

    def __init__(self, model, arguments, **fixed):
        super().__init__()
        self.model, self.arguments, self.fixed = model, arguments, fixed

    def forward(self, *tensors):
        return self.model(**dict(zip(self.arguments, tensors)), **self.fixed, return_dict=False)[0]


class CachedDecoder(nn.Module):
    """One step of a language model; keys and values of what came before go in, those of all so far come out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, tokens, *past):
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        length = past[0].shape[2]
        places = torch.arange(length, length + tokens.shape[1]).unsqueeze(0)
        y = self.model(input_ids=tokens, past_key_values=cache, position_ids=places, use_cache=True, return_dict=True)
        return (y.logits, *[t for layer in y.past_key_values.layers for t in (layer.keys, layer.values)])


def hugging_face(size):
    import transformers as tf

    width, depth, heads = (64, 2, 4) if size == "small" else (384, 6, 6)
    common = {"vocab_size": 200, "hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads}
    t = {"attn_implementation": "sdpa"}

    def bert():
        model = tf.BertModel(tf.BertConfig(**common, intermediate_size=4 * width, max_position_embeddings=64, **t))
        mask = torch.ones(2, 12, dtype=torch.int64)
        mask[1, 7:] = 0
        return Outputs(model, ["input_ids", "attention_mask"]), (ids(2, 12), mask)

    def gpt2():
        model = tf.GPT2LMHeadModel(tf.GPT2Config(vocab_size=200, n_positions=64, n_embd=width, n_layer=depth, n_head=heads, **t))
        return Outputs(model, ["input_ids"], use_cache=False), (ids(2, 12),)

    def llama_config():
        return tf.LlamaConfig(**common, intermediate_size=3 * width, num_key_value_heads=heads // 2, max_position_embeddings=64, **t)

    def llama():
        return Outputs(tf.LlamaForCausalLM(llama_config()), ["input_ids"], use_cache=False), (ids(2, 12),)

    def llama_cached():
        past = [torch.randn(2, heads // 2, 9, width // heads) for _ in range(2 * depth)]
        return CachedDecoder(tf.LlamaForCausalLM(llama_config())), (ids(2, 1), *past)

    def t5():
        config = tf.T5Config(vocab_size=200, d_model=width, d_kv=width // heads, d_ff=2 * width, num_layers=depth, num_heads=heads)
        return Outputs(tf.T5ForConditionalGeneration(config), ["input_ids", "decoder_input_ids"], use_cache=False), (ids(2, 12), ids(2, 5))

    def whisper_config():
        return tf.WhisperConfig(vocab_size=200, num_mel_bins=16, d_model=width, encoder_layers=depth, decoder_layers=depth, encoder_attention_heads=heads,
                                decoder_attention_heads=heads, encoder_ffn_dim=2 * width, decoder_ffn_dim=2 * width, max_source_positions=20,
                                max_target_positions=30, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, **t)

    def whisper_encoder():
        return Outputs(tf.WhisperModel(whisper_config()).encoder, ["input_features"]), (torch.randn(2, 16, 40),)

    def whisper_decoder():
        return (Outputs(tf.WhisperModel(whisper_config()).decoder, ["input_ids", "encoder_hidden_states"], use_cache=False),
                (ids(2, 6), torch.randn(2, 20, width)))

    return {"bert": bert, "gpt2": gpt2, "llama": llama, "llama_with_cache": llama_cached, "t5": t5, "whisper_encoder": whisper_encoder,
            "whisper_decoder": whisper_decoder}


def architectures(size="small"):
    small = size == "small"
    side, width = (64, 16) if small else (224, 64)
    length, wide = (12, 32) if small else (64, 256)
    makers = {
        "convnext": lambda: (ConvNeXt(width, (1, 1, 2, 1)), image(2, side)),
        "efficientnet": lambda: (efficientnet(width, 2), image(2, side)),
        "densenet": lambda: (DenseNet(width // 2, (3, 4, 3)), image(2, side)),
        "resnet": lambda: (resnet(width, 2), image(2, side)),
        "unet": lambda: (UNet(width), image(1, side)),
        "yolo": lambda: (Detector(width), image(1, side)),
        "detr": lambda: (DetectionTransformer(2 * width), image(2, side)),
        "vit": lambda: (VisionTransformer(side, 16, 4 * width, 3, 4), image(2, side)),
        "swin": lambda: (Swin(side if small else 256, 2 * width, 2), image(2, side if small else 256)),
        "lstm": lambda: (Tagger(nn.LSTM, wide, num_layers=2), (ids(2, length),)),
        "gru": lambda: (Tagger(nn.GRU, wide), (ids(2, length),)),
        "bilstm": lambda: (Tagger(nn.LSTM, wide, bidirectional=True), (ids(2, length),)),
        "transformer": lambda: (Translator(wide, 4, 2), (ids(2, length), ids(2, 7))),
        "mamba": lambda: (Mamba(wide), (torch.randn(2, length, wide),)),
        "moe": lambda: (MixtureOfExperts(wide), (torch.randn(2, length, wide),)),
        "wavenet": lambda: (WaveNet(width, 6), (torch.randn(2, 1, 20 * length),)),
        "gnn": lambda: (GraphNetwork(wide), (torch.randn(length, 5), torch.randint(0, length, (2, 3 * length)))),
        "diffusion": lambda: (DiffusionBlock(2 * width), (torch.randn(2, 2 * width, 16, 16), torch.rand(2) * 1000, torch.randn(2, 7, 24))),
        **hugging_face(size),
    }

    def settled(make):
        def made():
            module, inputs = make()
            for m in module.modules():  # statistics that are not those of no data
                if isinstance(m, nn.modules.batchnorm._BatchNorm):
                    m.running_mean.normal_(0, 0.1)
                    m.running_var.uniform_(0.5, 1.5)
            return module.eval(), inputs
        return made
    return {name: settled(make) for name, make in makers.items()}
