"""Stacked convolutions made from a list, NAdam, and a schedule stepped with the training."""

import torch
import torch.nn as nn

cfg = [6, "M", 8, 8, "M"]


def make_layers(cfg, batch_norm=False):
    layers = []
    in_channels = 3
    for v in cfg:
        if v == "M":
            layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
        else:
            conv2d = nn.Conv2d(in_channels, v, kernel_size=3, padding=1)
            if batch_norm:
                layers += [conv2d, nn.BatchNorm2d(v), nn.ReLU(inplace=True)]
            else:
                layers += [conv2d, nn.ReLU(inplace=True)]
            in_channels = v
    return nn.Sequential(*layers)


class VGG(nn.Module):
    def __init__(self, features, num_classes=4):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((3, 3))
        self.classifier = nn.Sequential(
            nn.Linear(8 * 3 * 3, 20),
            nn.ReLU(True),
            nn.Dropout(p=0.0),
            nn.Linear(20, num_classes),
        )

    def forward(self, x):
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


def build():
    model = VGG(make_layers(cfg))
    return {"model": model}, {"optimizer": torch.optim.NAdam(model.parameters(), lr=0.002)}


def data(random):
    return {"images": random.normal(size=(4, 3, 14, 14)), "labels": random.integers(0, 4, 4)}


def step(models, optimizers, images, labels):
    optimizer = optimizers["optimizer"]
    optimizer.zero_grad()
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5, 1.0]))(
        models["model"](images), labels
    )
    loss.backward()
    optimizer.step()
    for group in optimizer.param_groups:
        group["lr"] *= 0.9
    return loss
