"""ResNet-18 and MobileNetV2, whole: training steps and inference."""

from .rows import ODD, Call, Row, Training, classification, forward, labelled, normal, sgd

CLASSES = 1000


def resnet18(xp, slim):
    """Deep residual learning (He and others, 2015); ``slim`` divides all widths."""
    nn = xp.nn
    widths = [width // slim for width in (64, 128, 256, 512)]

    class Block(nn.Module):
        def __init__(self, inner, outer, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outer)
            self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outer)
            self.relu = nn.ReLU(inplace=True)
            self.shortcut = nn.Sequential()
            if stride > 1:
                convolution = nn.Conv2d(inner, outer, 1, stride, bias=False)
                self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(outer))

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            return self.relu(y + self.shortcut(x))

    stem = [nn.Conv2d(3, widths[0], 7, 2, 3, bias=False), nn.BatchNorm2d(widths[0])]
    layers = [*stem, nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inner = widths[0]
    for outer in widths:
        layers += [Block(inner, outer, 1 if outer == inner else 2), Block(outer, outer, 1)]
        inner = outer
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, CLASSES // slim)
    )


def jax_resnet18(jx, p, x, _slim):
    def block(p, x, stride):
        y = jx.relu(jx.batch_norm(p.at("bn1"), jx.conv(p.at("conv1"), x, stride, 1)))
        y = jx.batch_norm(p.at("bn2"), jx.conv(p.at("conv2"), y, 1, 1))
        if stride > 1:
            x = jx.conv(p.at("shortcut", 0), x, stride)
            x = jx.batch_norm(p.at("shortcut", 1), x)
        return jx.relu(y + x)

    x = jx.relu(jx.batch_norm(p.at(1), jx.conv(p.at(0), x, 2, 3)))
    x = jx.max_pool(x, 3, 2, 1)
    for i in range(8):
        x = block(p.at(4 + i), x, 2 if i in (2, 4, 6) else 1)
    return jx.linear(p.at(14), jx.mean_pool(x))


# Expansion, channels, blocks, stride of the first: table 2 of the paper.
SETTINGS = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def inverted_residuals(slim):
    """(channels in, hidden, out, stride) of every block."""
    inner = 32 // slim
    for expansion, channels, blocks, stride in SETTINGS:
        for i in range(blocks):
            outer = channels // slim
            yield inner, inner * expansion, outer, stride if i == 0 else 1
            inner = outer


def mobilenet_v2(xp, slim):
    """Inverted residuals and linear bottlenecks (Sandler and others, 2018)."""
    nn, last = xp.nn, 1280 // slim

    def convolution(inner, outer, window, stride=1, groups=1):
        layer = nn.Conv2d(inner, outer, window, stride, window // 2, groups=groups, bias=False)
        return [layer, nn.BatchNorm2d(outer), nn.ReLU6(inplace=True)]

    class Block(nn.Module):
        def __init__(self, inner, hidden, outer, stride):
            super().__init__()
            self.residual = stride == 1 and inner == outer
            layers = convolution(inner, hidden, 1) if hidden > inner else []
            layers += convolution(hidden, hidden, 3, stride, groups=hidden)
            self.layers = nn.Sequential(*layers, *convolution(hidden, outer, 1)[:2])

        def forward(self, x):
            y = self.layers(x)
            return x + y if self.residual else y

    blocks = list(inverted_residuals(slim))
    layers = convolution(3, blocks[0][0], 3, 2)
    layers += [Block(*block) for block in blocks]
    layers += convolution(blocks[-1][2], last, 1)
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *pool, nn.Linear(last, CLASSES // slim))


def jax_mobilenet_v2(jx, p, x, slim):
    def convolution(p, i, x, stride=1, groups=1, bent=True):
        window = len(p.at(i)["weight"])
        x = jx.conv(p.at(i), x, stride, window // 2, groups)
        x = jx.batch_norm(p.at(i + 1), x)
        return jx.relu6(x) if bent else x

    x = convolution(p, 0, x, 2)
    blocks = list(inverted_residuals(slim))
    for i, (inner, hidden, outer, stride) in enumerate(blocks, 3):
        layers, y, at = p.at(i, "layers"), x, 0
        if hidden > inner:
            y, at = convolution(layers, 0, y), 3
        y = convolution(layers, at, y, stride, groups=hidden)
        y = convolution(layers, at + 3, y, bent=False)
        x = x + y if stride == 1 and inner == outer else y
    last = 3 + len(blocks)
    x = convolution(p, last, x)
    return jx.linear(p.at(last + 5), jx.mean_pool(x))


NETWORKS = {"resnet18": (resnet18, jax_resnet18), "mobilenet_v2": (mobilenet_v2, jax_mobilenet_v2)}


def step(network, batch, size, slim=1):
    model, jax_network = NETWORKS[network]
    data = labelled((batch, 3, size, size), CLASSES // slim)

    def jax_model(jx, p, x):
        return jax_network(jx, p, x, slim)

    losses = classification(jax_model)
    return Training(lambda xp: model(xp, slim), data, losses, sgd(1e-3, momentum=0.9))


def inference(network, batch, size, slim=1):
    model, jax_network = NETWORKS[network]

    def jax_model(jx, p, x):
        return jax_network(jx, p, x, slim)

    data = normal((batch, 3, size, size))
    return Call(data, **forward(jax_model), model=lambda xp: model(xp, slim))


# MobileNet's steps magnify differences of rounding: where so many norms of few pixels follow each
# other, the gradients of any two libraries are 1e-4 apart, and so from the exact ones.
TOLERANCES = {"resnet18": 5e-3, "mobilenet_v2": 2e-2}
TITLES = {"resnet18": "ResNet-18", "mobilenet_v2": "MobileNetV2"}
ROWS = [
    Row(
        *(f"{network}_{size}_{kind}", ODD),
        *(f"{TITLES[network]}, {batch} x 3x{size}x{size}: {words}", make),
        *({"network": network, "batch": batch, "size": size}, {"batch": 2, "size": 64, "slim": 8}),
        tolerance=TOLERANCES[network] if make is step else 1e-4,
    )
    for network in NETWORKS
    for batch, size in ((8, 64), (2, 224))
    for kind, words, make in (("forward", "inference", inference), ("step", "step", step))
]
