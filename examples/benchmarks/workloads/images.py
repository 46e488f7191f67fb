"""Small convolutional networks: classifiers, a pair of generator and discriminator, a U-Net."""

import itertools

import numpy as np

from .rows import (
    MAIN,
    ODD,
    Call,
    Loss,
    Optimizer,
    Row,
    Training,
    adam,
    classification,
    forward,
    labelled,
    normal,
    sgd,
)


def lenet(xp):
    nn, relu, pool = xp.nn, xp.nn.functional.relu, xp.nn.functional.max_pool2d

    class LeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, 5)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(16 * 5 * 5, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, x):
            x = pool(relu(self.conv1(x)), 2)
            x = pool(relu(self.conv2(x)), 2)
            x = xp.flatten(x, 1)
            x = relu(self.fc1(x))
            x = relu(self.fc2(x))
            return self.fc3(x)

    return LeNet()


def jax_lenet(jx, p, x):
    for layer in ("conv1", "conv2"):
        x = jx.max_pool(jx.relu(jx.conv(p.at(layer), x)), 2)
    x = jx.flatten(x)
    for layer in ("fc1", "fc2"):
        x = jx.relu(jx.linear(p.at(layer), x))
    return jx.linear(p.at("fc3"), x)


def lenet_step(batch):
    data = labelled((batch, 1, 32, 32), 10)
    return Training(lenet, data, classification(jax_lenet), sgd(0.02, momentum=0.9))


def lenet_forward(batch):
    return Call(normal((batch, 1, 32, 32)), **forward(jax_lenet), model=lenet)


def cnn_step(batch, size):
    """Three blocks of convolution, batch norm, relu and pooling, and a linear classifier."""
    channels = (3, 32, 64, 64)

    def model(xp):
        nn = xp.nn
        layers = []
        for inner, outer in itertools.pairwise(channels):
            layers += [nn.Conv2d(inner, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * (size // 8) ** 2, 10))

    def network(jx, p, x):
        for i in (0, 4, 8):
            x = jx.relu(jx.batch_norm(p.at(i + 1), jx.conv(p.at(i), x, padding=1)))
            x = jx.max_pool(x, 2)
        return jx.linear(p.at(13), jx.flatten(x))

    data = labelled((batch, channels[0], size, size), 10)
    return Training(model, data, classification(network), sgd(0.02, momentum=0.9))


def conv_pair(batch, channels, size):
    """Two 3x3 convolutions with batch norm and relu inside a network in training.

    Forward, and backward from a given gradient to weights and input; nothing is updated.
    """

    def model(xp):
        nn = xp.nn
        layers = []
        for _ in range(2):
            layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        return nn.Sequential(*layers)

    def loss(_xp, model, x, gradient):
        return (model(x) * gradient).sum()

    def jax_loss(jx, p, x, gradient):
        for i in (0, 3):
            x = jx.relu(jx.batch_norm(p.at(i + 1), jx.conv(p.at(i), x, padding=1)))
        return (x * gradient).sum()

    shape = (batch, channels, size, size)
    return Training(model, normal(shape, shape), (Loss(loss, jax_loss),), None)


def dcgan_step(batch, latent, width, colours=3):
    """Discriminator, then generator, of 32 x 32 images: each a backward pass and an update."""
    up = ((latent, 4 * width, 1, 0), (4 * width, 2 * width, 2, 1), (2 * width, width, 2, 1))
    down = ((width, 2 * width), (2 * width, 4 * width))

    def model(xp):
        nn = xp.nn
        generator = []
        for inner, outer, stride, padding in up:
            generator += [nn.ConvTranspose2d(inner, outer, 4, stride, padding, bias=False)]
            generator += [nn.BatchNorm2d(outer), nn.ReLU()]
        generator += [nn.ConvTranspose2d(width, colours, 4, 2, 1, bias=False), nn.Tanh()]
        discriminator = [nn.Conv2d(colours, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for inner, outer in down:
            discriminator += [nn.Conv2d(inner, outer, 4, 2, 1, bias=False), nn.BatchNorm2d(outer)]
            discriminator += [nn.LeakyReLU(0.2)]
        discriminator += [nn.Conv2d(4 * width, 1, 4, bias=False), nn.Flatten(0)]
        parts = {"generator": generator, "discriminator": discriminator}
        return nn.ModuleDict({name: nn.Sequential(*layers) for name, layers in parts.items()})

    def judged(xp, scores, real):
        wanted = (xp.ones_like if real else xp.zeros_like)(scores)
        return xp.nn.functional.binary_cross_entropy_with_logits(scores, wanted)

    def discriminator_loss(xp, model, real, noise):
        fake = model["generator"](noise).detach()
        judge = model["discriminator"]
        return judged(xp, judge(real), True) + judged(xp, judge(fake), False)

    def generator_loss(xp, model, _real, noise):
        return judged(xp, model["discriminator"](model["generator"](noise)), True)

    def jax_generator(jx, p, x):
        p = p.at("generator")
        for i, (*_, stride, padding) in enumerate(up):
            x = jx.conv_transpose(p.at(3 * i), x, stride, padding)
            x = jx.relu(jx.batch_norm(p.at(3 * i + 1), x))
        return jx.np.tanh(jx.conv_transpose(p.at(3 * len(up)), x, 2, 1))

    def jax_discriminator(jx, p, x):
        p = p.at("discriminator")
        x = jx.leaky_relu(jx.conv(p.at(0), x, 2, 1))
        for i in range(len(down)):
            x = jx.batch_norm(p.at(3 * i + 3), jx.conv(p.at(3 * i + 2), x, 2, 1))
            x = jx.leaky_relu(x)
        return jx.conv(p.at(3 * len(down) + 2), x).reshape(-1)

    def jax_discriminator_loss(jx, p, real, noise):
        fake = jx.stop_gradient(jax_generator(jx, p, noise))
        real = jx.softplus(-jax_discriminator(jx, p, real)).mean()
        return real + jx.softplus(jax_discriminator(jx, p, fake)).mean()

    def jax_generator_loss(jx, p, _real, noise):
        return jx.softplus(-jax_discriminator(jx, p, jax_generator(jx, p, noise))).mean()

    losses = (
        Loss(discriminator_loss, jax_discriminator_loss, of="discriminator"),
        Loss(generator_loss, jax_generator_loss, of="generator"),
    )
    data = normal((batch, colours, 32, 32), (batch, latent, 1, 1))
    return Training(model, data, losses, Optimizer("Adam", {"lr": 2e-4, "betas": (0.5, 0.999)}))


def unet_step(batch, size, width):
    """Two levels down and up again with skip connections, to a mask of one channel."""

    def model(xp):
        nn = xp.nn

        def block(inner, outer):
            layers = []
            for channels in (inner, outer):
                layers += [nn.Conv2d(channels, outer, 3, padding=1, bias=False)]
                layers += [nn.BatchNorm2d(outer), nn.ReLU()]
            return nn.Sequential(*layers)

        class UNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.down1 = block(1, width)
                self.down2 = block(width, 2 * width)
                self.bottom = block(2 * width, 4 * width)
                self.rise2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
                self.up2 = block(4 * width, 2 * width)
                self.rise1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
                self.up1 = block(2 * width, width)
                self.mask = nn.Conv2d(width, 1, 1)
                self.pool = nn.MaxPool2d(2)

            def forward(self, x):
                high = self.down1(x)
                middle = self.down2(self.pool(high))
                x = self.bottom(self.pool(middle))
                x = self.up2(xp.cat([middle, self.rise2(x)], dim=1))
                x = self.up1(xp.cat([high, self.rise1(x)], dim=1))
                return self.mask(x)

        return UNet()

    def loss(xp, model, x, mask):
        return xp.nn.functional.binary_cross_entropy_with_logits(model(x), mask)

    def jax_loss(jx, p, x, mask):
        def block(name, x):
            for i in (0, 3):
                x = jx.conv(p.at(name, i), x, padding=1)
                x = jx.relu(jx.batch_norm(p.at(name, i + 1), x))
            return x

        high = block("down1", x)
        middle = block("down2", jx.max_pool(high, 2))
        x = block("bottom", jx.max_pool(middle, 2))
        x = jx.conv_transpose(p.at("rise2"), x, 2)
        x = block("up2", jx.np.concatenate([middle, x], -1))
        x = jx.conv_transpose(p.at("rise1"), x, 2)
        x = block("up1", jx.np.concatenate([high, x], -1))
        scores = jx.conv(p.at("mask"), x)
        return (jx.softplus(scores) - mask * scores).mean()

    def data(random):
        shape = (batch, 1, size, size)
        image = random.standard_normal(shape).astype(np.float32)
        return [image, random.randint(0, 2, shape).astype(np.float32)]

    return Training(model, data, (Loss(loss, jax_loss),), adam(1e-3))


ROWS = [
    Row(
        *("lenet_step", MAIN, "LeNet-5 on 32 x 32, batch 64, SGD with momentum: step", lenet_step),
        *({"batch": 64}, {"batch": 2}),
    ),
    Row(
        *("lenet_forward", MAIN, "LeNet-5, one image: forward", lenet_forward, {"batch": 1}),
    ),
    Row(
        *("cnn_step", MAIN, "3 blocks of convolution and batch norm on 32 x 3x32x32: step"),
        *(cnn_step, {"batch": 32, "size": 32}, {"batch": 2, "size": 8}),
    ),
    Row(
        *("conv_pair", MAIN),
        *("2 x (3x3 convolution, batch norm, relu), 8 x 64x56x56: forward and backward", conv_pair),
        *({"batch": 8, "channels": 64, "size": 56}, {"batch": 2, "channels": 3, "size": 5}),
        # Of 3 M numbers that relu sees, rounding takes one or two to the other side of 0.
        tolerance=1e-3,
    ),
    Row(
        *("dcgan_step", ODD, "DCGAN of 32 x 32 images, batch 16, two Adams: step", dcgan_step),
        *({"batch": 16, "latent": 64, "width": 32}, {"batch": 2, "latent": 3, "width": 2}),
        tolerance=1e-3,
    ),
    Row(
        *("unet_step", ODD, "U-Net of two levels, 4 x 1x64x64, Adam: step", unet_step),
        *({"batch": 4, "size": 64, "width": 16}, {"batch": 2, "size": 8, "width": 2}),
        tolerance=1e-3,
    ),
]
