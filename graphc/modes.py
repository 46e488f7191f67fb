"""What a thread is doing: whether it records gradients, and which trace it feeds, if any."""

import functools
import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from graphc.autocasting import Region
    from graphc.tracing import Trace

F = TypeVar("F", bound=Callable[..., Any])


class _Modes(threading.local):
    grad: bool = True
    inference: bool = False
    trace: "Trace | None" = None
    autocast: "Region | None" = None  # the precision that operations compute in
    anomaly: bool = False  # remember the line of each operation, look for NaN in gradients
    check_nan: bool = True
    saved_hooks: "tuple[Callable[[Any], Any], Callable[[Any], Any]] | None" = None  # pack, unpack
    accumulating: bool = True  # a running backward adds to .grad of all leaves
    saved_refusal: "str | None" = None  # why there may be no such hooks


MODES = _Modes()


class _GradMode:
    """A context manager and a decorator that sets whether operations are recorded."""

    _enable = True

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(MODES.grad)
        MODES.grad = self._enable

    def __exit__(self, *_exc: object) -> None:
        MODES.grad = self._before.pop()

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function):
            return self._around_generator(function)  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The mode holds while the generator runs, and not between its values."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            inner = function(*args, **kwargs)
            step: Callable[[], Any] = functools.partial(next, inner)
            try:
                while True:
                    with self._fresh():
                        value = step()
                    try:
                        sent = yield value
                    except GeneratorExit:
                        with self._fresh():
                            inner.close()
                        raise
                    except BaseException as error:
                        step = functools.partial(inner.throw, error)
                    else:
                        step = functools.partial(inner.send, sent)
            except StopIteration as end:
                return end.value

        return wrapped

    def _fresh(self) -> "_GradMode":
        return type(self)()


class no_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Operations inside are not recorded for ``backward``. Use it in ``with`` or as a decorator."""

    _enable = False

    def __new__(cls, function: Any = None) -> Any:
        instance = super().__new__(cls)
        if function is None:
            return instance
        _GradMode.__init__(instance)  # @no_grad without parentheses
        return instance(function)

    def __init__(self, function: Any = None) -> None:  # noqa: ARG002
        super().__init__()


class enable_grad(no_grad):  # noqa: N801
    """Operations inside are recorded again, also within :class:`no_grad`."""

    _enable = True


class set_grad_enabled(_GradMode):  # noqa: N801
    """Sets the mode at once; in ``with``, restores it afterwards."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._enable = bool(mode)
        self._outer = MODES.grad
        MODES.grad = self._enable

    def __enter__(self) -> None:
        self._before.append(self._outer)
        MODES.grad = self._enable

    def __call__(self, function: F) -> F:
        MODES.grad = self._outer  # a decorator must not change the mode outside
        return super().__call__(function)

    def _fresh(self) -> "set_grad_enabled":
        return set_grad_enabled(self._enable)


class inference_mode(_GradMode):  # noqa: N801
    """Like :class:`no_grad`; ``inference_mode(False)`` is the ordinary mode, with recording."""

    def __new__(cls, mode: Any = True) -> Any:
        instance = super().__new__(cls)
        if not callable(mode):
            return instance
        instance.__init__()  # type: ignore[misc]  # @inference_mode without parentheses
        return instance(mode)

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self._mode = bool(mode)
        self._inference_before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(MODES.grad)
        self._inference_before.append(MODES.inference)
        MODES.grad = not self._mode
        MODES.inference = self._mode

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        MODES.inference = self._inference_before.pop()

    def _fresh(self) -> "inference_mode":
        return inference_mode(self._mode)


def is_compiling() -> bool:
    """Whether operations become a compiled graph: inside ``graphc.compile``, not ``vmap`` alone."""
    return MODES.trace is not None and MODES.trace.unmapped() is not None


def is_grad_enabled() -> bool:
    """Whether operations on this thread are recorded for ``backward``."""
    return MODES.grad


def is_inference_mode_enabled() -> bool:
    return MODES.inference
