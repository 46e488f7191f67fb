"""Inverted residuals with depthwise convolutions, RMSprop."""

import torch
from torch import nn


def _make_divisible(v, divisor=4):
    return max(divisor, int(v + divisor / 2) // divisor * divisor)


class ConvBNReLU(nn.Sequential):
    def __init__(self, in_planes, out_planes, kernel_size=3, stride=1, groups=1):
        padding = (kernel_size - 1) // 2
        super().__init__(
            nn.Conv2d(
                in_planes, out_planes, kernel_size, stride, padding, groups=groups, bias=False
            ),
            nn.BatchNorm2d(out_planes),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    def __init__(self, inp, oup, stride, expand_ratio):
        super().__init__()
        hidden_dim = int(round(inp * expand_ratio))
        self.use_res_connect = stride == 1 and inp == oup
        layers = []
        if expand_ratio != 1:
            layers.append(ConvBNReLU(inp, hidden_dim, kernel_size=1))
        layers.extend(
            [
                ConvBNReLU(hidden_dim, hidden_dim, stride=stride, groups=hidden_dim),
                nn.Conv2d(hidden_dim, oup, 1, 1, 0, bias=False),
                nn.BatchNorm2d(oup),
            ]
        )
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        if self.use_res_connect:
            return x + self.conv(x)
        else:
            return self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, num_classes=4, width_mult=0.5):
        super().__init__()
        channels = _make_divisible(16 * width_mult)
        features = [ConvBNReLU(3, channels, stride=2)]
        for t, c, n, s in [[1, 16, 1, 1], [4, 24, 2, 2], [4, 32, 1, 1]]:
            for i in range(n):
                output = _make_divisible(c * width_mult)
                features.append(InvertedResidual(channels, output, s if i == 0 else 1, t))
                channels = output
        features.append(ConvBNReLU(channels, 32, kernel_size=1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(32, num_classes))

    def forward(self, x):
        x = self.features(x)
        x = x.mean([2, 3])
        return self.classifier(x)


def build():
    model = MobileNetV2()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.003, alpha=0.9, momentum=0.9, eps=0.1)
    return {"model": model}, {"optimizer": optimizer}


def data(random):
    return {"images": random.normal(size=(5, 3, 24, 24)), "labels": random.integers(0, 4, 5)}


def step(models, optimizers, images, labels):
    models["model"].train()
    loss = nn.functional.cross_entropy(models["model"](images), labels)
    optimizers["optimizer"].zero_grad()
    loss.backward()
    optimizers["optimizer"].step()
    return loss
