"""The workloads in PyTorch's API: ``xp`` is ``torch`` or ``graphc``, the code is the same.

A workload is made by ``WORKLOADS[name](xp, how)`` and gives a function without arguments that
runs one step or call. ``how`` is one of

* ``eager``
* ``model``: a training step whose model is compiled, the rest eager
* ``step``: the whole training step is one compiled function; for calls, the function is compiled
* ``parts``: forward and loss compiled together, the optimizer's step compiled on its own, which is
  how PyTorch advises to use ``torch.compile``; for calls, as ``step``
"""

import inputs


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


def mlp(xp):
    nn = xp.nn
    return nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )


def training(xp, how, model, make_optimizer, start):
    """One step on one batch, from the given parameters; it returns the loss."""
    x, labels, weights = start
    with xp.no_grad():
        for parameter, array in zip(model.parameters(), weights, strict=True):
            parameter.copy_(xp.from_numpy(array))
    x, labels = xp.from_numpy(x), xp.from_numpy(labels)
    optimizer = make_optimizer(model.parameters())

    network = xp.compile(model) if how == "model" else model

    def loss_of(x, labels):
        return xp.nn.functional.cross_entropy(network(x), labels)

    forward = xp.compile(loss_of) if how == "parts" else loss_of
    update = xp.compile(optimizer.step) if how == "parts" else optimizer.step

    def step(x, labels):
        optimizer.zero_grad()
        loss = forward(x, labels)
        loss.backward()
        update()
        return loss

    run = xp.compile(step) if how == "step" else step
    return lambda: run(x, labels)


def lenet_step(xp, how):
    def sgd(parameters):
        return xp.optim.SGD(parameters, lr=0.02, momentum=0.9)

    return training(xp, how, lenet(xp), sgd, inputs.lenet())


def mlp_step(xp, how):
    def adam(parameters):
        return xp.optim.Adam(parameters, lr=1e-3)

    return training(xp, how, mlp(xp), adam, inputs.mlp())


def call(xp, how, function, arrays):
    tensors = [xp.from_numpy(array) for array in arrays]
    run = function if how == "eager" else xp.compile(function)
    return lambda: run(*tensors)


def tiny_call(xp, how):
    def function(x):
        return x * 2 + 1

    return call(xp, how, function, inputs.tiny_call())


def pointwise_4m(xp, how):
    def function(x, y):
        return xp.tanh(x * 0.7 + 0.1) * xp.sigmoid(y) + xp.exp(-x * x)

    return call(xp, how, function, inputs.pointwise_4m())


def softmax_4096x1024(xp, how):
    def function(x):
        return xp.softmax(x, -1)

    return call(xp, how, function, inputs.softmax_4096x1024())


def matmul_bias_relu_1024(xp, how):
    def function(x, weight, bias):
        return xp.relu(xp.nn.functional.linear(x, weight, bias))

    return call(xp, how, function, inputs.matmul_bias_relu_1024())


WORKLOADS = {
    "lenet_step": lenet_step,
    "mlp_step": mlp_step,
    "tiny_call": tiny_call,
    "pointwise_4m": pointwise_4m,
    "softmax_4096x1024": softmax_4096x1024,
    "matmul_bias_relu_1024": matmul_bias_relu_1024,
}
