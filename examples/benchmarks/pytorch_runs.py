"""Workloads in PyTorch's API: ``xp`` is ``torch`` or ``graphc``, the code is the same.

``how`` is one of

* ``eager``
* ``whole``: the whole training step, or the whole function, is one compiled function
* ``parts``: forward and loss compiled together, the optimizer's step compiled on its own, which is
  how PyTorch advises to use ``torch.compile``; functions and models as in ``whole``

Calls expect that gradients are switched off.
"""

from workloads import Training


def prepare(xp, program, how, start):
    """A function without arguments that runs one step or call, with its operands in place."""
    dtype = getattr(xp, program.dtype)

    def tensor(array):
        x = xp.from_numpy(array)
        return x.to(dtype) if x.is_floating_point() else x

    batch = [tensor(array) for array in start.batch]
    model = program.model and loaded(xp, program.model, dtype, start)
    if isinstance(program, Training):
        return training(xp, program, how, model, batch)
    return call(xp, program, how, model, batch)


def loaded(xp, make, dtype, start):
    model = make(xp)
    model.load_state_dict({name: xp.from_numpy(array) for name, array in start.state.items()})
    return model.to(dtype)


def training(xp, program, how, model, batch):
    model.train()
    updated = program.optimizer is not None
    if not updated:
        batch[0].requires_grad_()

    def pass_of(row):
        """zero_grad, forward with loss, update."""
        part = model.get_submodule(row.of)

        def loss(*batch):
            return row.loss(xp, model, *batch)

        forward = xp.compile(loss) if how == "parts" else loss
        if not updated:

            def forget():
                model.zero_grad()
                batch[0].grad = None

            return forget, forward, lambda: None
        make = getattr(xp.optim, program.optimizer.name)
        optimizer = make(part.parameters(), **program.optimizer.settings)
        update = xp.compile(optimizer.step) if how == "parts" else optimizer.step
        return optimizer.zero_grad, forward, update

    passes = [pass_of(row) for row in program.losses]

    def step(*batch):
        losses = []
        for zero_grad, forward, update in passes:
            zero_grad()
            loss = forward(*batch)
            loss.backward()
            update()
            losses.append(loss)
        return losses if updated else [*losses, batch[0].grad]

    run = xp.compile(step) if how == "whole" else step
    return lambda: run(*batch)


def call(xp, program, how, model, batch):
    if model is None:

        def function(*batch):
            return program.function(xp, *batch)

    else:
        model.eval()

        def function(*batch):
            return program.function(xp, model, *batch)

    run = function if how == "eager" else xp.compile(function)
    return lambda: run(*batch)


def arrays(xp, result):
    """What a step or call gave, as float64 arrays."""
    results = result if isinstance(result, list) else [result]
    return [x.detach().to(xp.float64).numpy() for x in results]
