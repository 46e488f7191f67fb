"""Checkpointing: intermediates of a part of a network are computed again instead of kept."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from graphc.autocasting import within
from graphc.autograd.backward import backward as run_backward
from graphc.autograd.function import Function
from graphc.autograd.graph import saved_tensors_hooks
from graphc.generator import default_generator
from graphc.modes import MODES, enable_grad
from graphc.nn.module import Module
from graphc.tensor import Tensor

Contexts = Callable[[], tuple[Any, Any]]


class CheckpointError(RuntimeError):
    """The recomputation did something else than the first run."""


def noop_context_fn() -> tuple[Any, Any]:
    """Contexts that do nothing, for the first run and the second."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Contexts = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)`` that keeps no intermediates for its gradient.

    They are computed again when the gradient needs them, with the same random numbers unless
    ``preserve_rng_state=False``. Without ``use_reentrant`` everything works as without
    checkpointing. With it, the second run has a backward of its own: gradients flow through the
    tensors among ``args`` and into leaves, but ``autograd.grad`` is refused. ``context_fn`` gives
    two contexts, for the first run and the second. Inside ``vmap`` everything is kept. Raises
    CheckpointError when the second run saves other tensors than the first.
    """
    del debug
    preserve = bool(kwargs.pop("preserve_rng_state", True))
    if use_reentrant is None:
        warnings.warn(
            "checkpoint: the use_reentrant parameter should be passed explicitly. "
            "use_reentrant=False is recommended",
            stacklevel=2,
        )
        use_reentrant = False
    if use_reentrant:
        if kwargs:
            raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
        if context_fn is not noop_context_fn:
            raise ValueError("Passing `context_fn` is only supported when use_reentrant=False.")
        if MODES.trace is None:  # what a graph keeps is decided when it is compiled
            if not any(isinstance(x, Tensor) and x.requires_grad for x in args):
                warnings.warn(
                    "None of the inputs have requires_grad=True. Gradients will be None",
                    stacklevel=2,
                )
            return _Reentrant.apply(function, preserve, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"determinism_check should be one of ['default', 'none'], but got {determinism_check}"
        )
    first, second = context_fn()
    if MODES.trace is not None and MODES.trace.mapped:
        with first:
            return function(*args, **kwargs)
    again = _Recomputed(
        lambda: function(*args, **kwargs), second, preserve, determinism_check, early_stop
    )
    with again.recording(), first:
        return function(*args, **kwargs)


@contextlib.contextmanager
def _random_state(state: Tensor | None) -> Iterator[None]:
    """The default generator continues from ``state`` and afterwards from where it was."""
    if state is None:
        yield
        return
    before = default_generator.get_state()
    default_generator.set_state(state)
    try:
        yield
    finally:
        default_generator.set_state(before)


def _state(preserve: bool) -> Tensor | None:
    return default_generator.get_state() if preserve else None


class _Enough(Exception):  # noqa: N818 - a signal, not an error
    """All that the first run saved is there again."""


class _Recomputed:
    """What one checkpointed call saved: places, filled by running it again."""

    def __init__(
        self,
        run: Callable[[], Any],
        context: Any,
        preserve: bool,
        determinism_check: str,
        early_stop: bool,
    ) -> None:
        self._run = run
        self._context = context
        self._random = _state(preserve)
        self._autocast = MODES.autocast
        self._check = determinism_check != "none"
        self._early = early_stop
        self._types: list[Any] = []
        self._found: dict[int, Tensor] = {}

    def recording(self) -> saved_tensors_hooks:
        """The hooks of the first run: they keep the number of each saved tensor only."""

        def pack(x: Tensor) -> int:
            self._types.append(x._type)
            return len(self._types) - 1

        return saved_tensors_hooks(pack, self._value)

    def _value(self, number: int) -> Tensor:
        if number not in self._found:
            self._recompute()
        if number not in self._found:
            raise CheckpointError(
                "checkpoint: A different number of tensors was saved during the original forward "
                f"and recomputation. Number of tensors saved during forward: {len(self._types)}"
            )
        return self._found.pop(number)

    def _recompute(self) -> None:
        found: list[Tensor] = []

        def pack(x: Tensor) -> Tensor:
            number = len(found)
            if self._check and number < len(self._types) and x._type != self._types[number]:
                raise CheckpointError(
                    "checkpoint: Recomputed values for the following tensors have different "
                    f"metadata than during the forward pass. tensor at position {number}: saved "
                    f"{self._types[number]}, recomputed {x._type}"
                )
            found.append(x)
            if self._early and len(found) == len(self._types):
                raise _Enough
            return x

        with (
            enable_grad(),
            within(self._autocast),
            _random_state(self._random),
            saved_tensors_hooks(pack, lambda x: x),
            self._context,
            contextlib.suppress(_Enough),
        ):
            self._run()
        if self._check and len(found) != len(self._types):
            raise CheckpointError(
                "checkpoint: A different number of tensors was saved during the original forward "
                f"and recomputation. Number of tensors saved during forward: {len(self._types)} "
                f"Number of tensors saved during recomputation: {len(found)}"
            )
        self._found = dict(enumerate(found))


class _Reentrant(Function):
    """A checkpoint whose second run has a backward of its own."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        ctx.function, ctx.random, ctx.autocast = function, _state(preserve), MODES.autocast
        ctx.places = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        ctx.others = [None if isinstance(x, Tensor) else x for x in args]
        ctx.save_for_backward(*(args[i] for i in ctx.places))
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if not MODES.accumulating:
            raise RuntimeError(
                "When use_reentrant=True, checkpoint is incompatible with .grad() or passing an "
                "`inputs` parameter to .backward(). To resolve this error, you can either set "
                "use_reentrant=False, or call .backward() without passing the `inputs` argument."
            )
        args = list(ctx.others)
        for i, x in zip(ctx.places, ctx.saved_tensors, strict=True):
            needs = ctx.needs_input_grad[i + 2]
            args[i] = x.detach().requires_grad_() if needs else x.detach()
        with enable_grad(), within(ctx.autocast), _random_state(ctx.random):
            result = ctx.function(*args)
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        followed = [
            (y, g)
            for y, g in zip(outputs, grads, strict=True)
            if isinstance(y, Tensor) and y.requires_grad and g is not None
        ]
        if not followed:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        run_backward([y for y, _ in followed], [g for _, g in followed])
        return None, None, *(x.grad if isinstance(x, Tensor) else None for x in args)


def checkpoint_sequential(
    functions: Any,
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    **kwargs: Any,
) -> Any:
    """A chain of modules in ``segments`` parts, all but the last checkpointed.

    ``functions`` is a ``Sequential`` or a list of functions of one argument.
    """
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
    if use_reentrant is None:
        warnings.warn(
            "checkpoint_sequential: the use_reentrant parameter should be passed explicitly. "
            "use_reentrant=False is recommended",
            stacklevel=2,
        )
        use_reentrant = False
    steps = list(functions.children()) if isinstance(functions, Module) else list(functions)
    size = len(steps) // segments
    start = 0
    for start in range(0, size * (segments - 1), size) if size else ():
        part = _chain(steps[start : start + size])
        input = checkpoint(part, input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return _chain(steps[size * (segments - 1) :])(input)


def _chain(steps: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def run(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return run
