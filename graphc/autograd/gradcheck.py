"""Checks of gradients by finite differences: ``gradcheck`` and ``gradgradcheck``."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.autograd.backward import grad
from graphc.modes import enable_grad, no_grad
from graphc.tensor import Tensor
from graphc.trees import flatten

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]


class GradcheckError(RuntimeError):
    """A gradient that is not what finite differences say, or a function that cannot be checked."""


def gradcheck(
    func: Function,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compares the Jacobian by backward with finite differences of step ``eps``.

    ``inputs`` is a tensor or a tuple; those that require gradients are checked and should be
    float64. Results have to agree within ``atol + rtol * |numerical|``, and within ``nondet_tol``
    when computed again. ``check_undefined_grad`` tries missing cotangents, ``check_batched_grad``
    vectorised ones, ``check_forward_ad`` the push forward. ``fast_mode`` compares one random
    combination of each Jacobian's rows and columns. Returns True, or raises GradcheckError (gives
    False without ``raise_exception``).
    """
    del masked
    if not (check_backward_ad or check_forward_ad):
        raise AssertionError(
            "Expected at least one of check_forward_ad or check_backward_ad to be True"
        )
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    check = _Check(func, given, eps, atol, rtol)
    try:
        check.inputs_fit()
        check.fast = fast_mode
        outputs = check.outputs()
        if not outputs:
            check.constant()
            return True
        for number, y in enumerate(outputs):
            if check_backward_ad:
                check.backward(number, y, nondet_tol)
            if check_forward_ad:
                check.forward(number, y)
        if check_backward_ad and check_undefined_grad:
            check.undefined()
        if check_batched_grad:
            check.batched()
        if check_batched_forward_grad:
            check.batched_forward()
        if check_grad_dtypes:
            check.grad_dtypes()
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Function,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """:func:`gradcheck` of the gradient of ``func``, by the inputs and by the cotangents.

    ``grad_outputs`` are the cotangents, random ones unless given.
    """
    del gen_non_contig_grad_outputs
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError(
            "Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True"
        )
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if grad_outputs is None:
        outputs = [y for y in _flat(func(*given)) if y.dtype.is_floating_point and y.requires_grad]
        random = np.random.default_rng(0)
        cotangents = tuple(
            _of_array(random.uniform(0.1, 1.0, tuple(y.shape)), y).requires_grad_() for y in outputs
        )
    else:
        cotangents = (grad_outputs,) if isinstance(grad_outputs, Tensor) else tuple(grad_outputs)
    count = len(cotangents)
    places = [i for i, x in enumerate(given) if isinstance(x, Tensor) and x.requires_grad]

    def gradient(*values: Any) -> tuple[Tensor, ...]:
        arguments, weights = values[: len(given)], values[len(given) :]
        variables = [
            x if i in places and x.requires_grad else _variable(x) if i in places else x
            for i, x in enumerate(arguments)
        ]
        with enable_grad():
            outputs = [
                y for y in _flat(func(*variables)) if y.dtype.is_floating_point and y.requires_grad
            ]
            found = grad(
                outputs[:count],
                [variables[i] for i in places],
                weights,
                create_graph=True,
                allow_unused=True,
            )
        return tuple(g for g in found if g is not None)

    return gradcheck(
        gradient,
        (*given, *cotangents),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
    )


def _variable(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()


def _flat(result: Any) -> list[Tensor]:
    return [y for y in flatten(result)[0] if isinstance(y, Tensor)]


def _of_array(array: Array, like: Tensor) -> Tensor:
    made: Tensor = Tensor._make(np.array(array, like.dtype.numpy, order="C"))
    return made


def _values(t: Tensor | None, like: Tensor) -> Array:
    if t is None:
        return np.zeros(tuple(like.shape), np.float64)
    return t.detach()._array().astype(np.float64)


class _Check:
    """One function at one point."""

    def __init__(
        self, func: Function, inputs: Sequence[Any], eps: float, atol: float, rtol: float
    ) -> None:
        self.func, self.inputs, self.eps, self.atol, self.rtol = (
            func,
            tuple(inputs),
            eps,
            atol,
            rtol,
        )
        self.places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
        self.fast = False

    def inputs_fit(self) -> None:
        if not self.places:
            raise ValueError(
                "gradcheck expects at least one input tensor to require gradient, but none of the "
                "them have requires_grad=True."
            )
        for i in self.places:
            x = self.inputs[i]
            if not x.dtype.is_floating_point:
                raise GradcheckError(f"gradcheck: input {i} is of dtype {x.dtype}")
            array = x.detach()._array()
            if any(s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True)):
                raise GradcheckError(
                    f"The {i}th input has a dimension with stride 0. gradcheck needs inputs whose "
                    "elements do not overlap to compute the numerical gradients correctly. You "
                    "should call .contiguous on the input before passing it to gradcheck."
                )

    def _variables(self) -> list[Any]:
        return [_variable(x) if i in self.places else x for i, x in enumerate(self.inputs)]

    def _run(self, values: Sequence[Any]) -> list[Tensor]:
        return [y for y in _flat(self.func(*values)) if y.dtype.is_floating_point]

    def outputs(self) -> list[Tensor]:
        """The differentiable outputs; an output that is an input itself is refused."""
        found = [y for y in self._run(self.inputs) if y.requires_grad]
        for y in found:
            if any(y is x for x in self.inputs) and y.is_leaf:
                raise GradcheckError("gradcheck: an output is an input itself")
        return found

    def constant(self) -> None:
        """Nothing requires gradients: then finite differences have to be zero."""
        for number in range(len(self._run(self.inputs))):
            for i in self.places:
                if np.abs(self._numerical(number, i)).max(initial=0.0) > self.atol:
                    raise GradcheckError(
                        "Numerical gradient for function expected to be zero: no output requires "
                        "gradients, but the function changes with its inputs"
                    )

    # -------------------------------------------------------------------------------- numerical

    def _moved(self, i: int, direction: Array) -> list[Array]:
        """The outputs a step before and after, in float64: two lists one after the other."""
        sides: list[list[Array]] = []
        x = self.inputs[i]
        for sign in (-1, 1):
            array = np.array(x.detach()._array())
            moved = _of_array(array + sign * self.eps * direction, x)
            values = self._variables()
            values[i] = _variable(moved)
            sides.append([_values(y, y) for y in self._tracked_as_before(values)])
        return [(b - a) / (2 * self.eps) for a, b in zip(*sides, strict=True)]

    def _tracked_as_before(self, values: Sequence[Any]) -> list[Tensor]:
        found = self._run(values)
        tracked = [y for y in found if y.requires_grad]
        return tracked or found

    def _numerical(self, number: int, i: int) -> Array:
        """The Jacobian of an output by an input: rows are elements of the input."""
        x = self.inputs[i]
        rows = []
        for k in range(x.numel()):
            unit = np.zeros(x.numel())
            unit[k] = 1
            rows.append(self._moved(i, unit.reshape(tuple(x.shape)))[number].reshape(-1))
        return np.array(rows).reshape(x.numel(), -1)

    # ------------------------------------------------------------------------------- analytical

    def _pulled(self, number: int, cotangent: Array) -> list[Array]:
        values = self._variables()
        with enable_grad():
            y = self._tracked_as_before(values)[number]
        variables = [values[i] for i in self.places]
        found = grad(y, variables, _of_array(cotangent, y), allow_unused=True)
        for g, x in zip(found, variables, strict=True):
            if g is not None and tuple(g.shape) != tuple(x.shape):
                raise GradcheckError("Analytical gradient has incorrect size")
        return [_values(g, x) for g, x in zip(found, variables, strict=True)]

    def _analytical(self, number: int, y: Tensor) -> list[Array]:
        columns: list[list[Array]] = []
        for k in range(y.numel()):
            unit = np.zeros(y.numel())
            unit[k] = 1
            columns.append(self._pulled(number, unit.reshape(tuple(y.shape))))
        sizes = [self.inputs[i].numel() for i in self.places]
        return [
            np.array([c[j].reshape(-1) for c in columns]).reshape(y.numel(), n).T
            for j, n in enumerate(sizes)
        ]

    # -------------------------------------------------------------------------------- the checks

    def _compare(self, what: str, number: int, i: int, found: Array, expected: Array) -> None:
        if np.allclose(found, expected, rtol=self.rtol, atol=self.atol, equal_nan=True):
            return
        raise GradcheckError(
            f"Jacobian mismatch for output {number} with respect to input {i} ({what}),\n"
            f"numerical:{expected}\nanalytical:{found}\n"
        )

    def backward(self, number: int, y: Tensor, nondet_tol: float) -> None:
        """The Jacobian of one output by backward against finite differences, twice."""
        if self.fast:
            self._fast(number, y, nondet_tol)
            return
        found = self._analytical(number, y)
        for j, i in enumerate(self.places):
            self._compare("backward", number, i, found[j], self._numerical(number, i))
        self._deterministic(found, self._analytical(number, y), nondet_tol)

    def _deterministic(self, a: list[Array], b: list[Array], tolerance: float) -> None:
        for first, second in zip(a, b, strict=True):
            if not np.allclose(first, second, rtol=0, atol=tolerance, equal_nan=True):
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and "
                    "grad_output multiple times gives different values, although analytical "
                    f"gradient matches numerical gradient. The tolerance for nondeterminism was "
                    f"{tolerance}."
                )

    def _fast(self, number: int, y: Tensor, nondet_tol: float) -> None:
        """``v^T J u`` for one random pair of unit vectors and each input."""
        random = np.random.default_rng(number)
        v = _unit(random, y)
        pulled = self._pulled(number, v)
        for j, i in enumerate(self.places):
            u = _unit(random, self.inputs[i])
            numeric = np.sum(self._moved(i, u)[number] * v)
            exact = np.sum(pulled[j] * u)
            self._compare("backward, fast mode", number, i, np.array(exact), np.array(numeric))
        self._deterministic(pulled, self._pulled(number, v), nondet_tol)

    def forward(self, number: int, y: Tensor) -> None:
        """The push forward of one output against finite differences."""
        from graphc.func.gradients import pushed_forward

        for i in self.places:
            x = self.inputs[i]
            rows = []
            for k in range(x.numel()):
                unit = np.zeros(x.numel())
                unit[k] = 1
                values = self._variables()
                with enable_grad():
                    outputs = self._tracked_as_before(values)
                    tangent = _of_array(unit.reshape(tuple(x.shape)), x)
                    changes, _ = pushed_forward([outputs[number]], [values[i]], [tangent])
                rows.append(_values(changes[0], y).reshape(-1))
            found = np.array(rows).reshape(x.numel(), y.numel())
            self._compare("forward", number, i, found, self._numerical(number, i))

    def undefined(self) -> None:
        """A backward whose cotangents are zeros, or do not come, gives zeros or nothing."""
        values = self._variables()
        with enable_grad():
            outputs = [y for y in self._tracked_as_before(values) if y.requires_grad]
        variables = [values[i] for i in self.places]
        for y in outputs:
            zeros = _of_array(np.zeros(tuple(y.shape)), y)
            found = grad(y, variables, zeros, retain_graph=True, allow_unused=True)
            for g, x in zip(found, variables, strict=True):
                if np.nan_to_num(_values(g, x)).any():
                    raise GradcheckError(
                        "Expected all input grads to be undefined or zero when all output grads "
                        "are undefined or zero. Please look at 'Notes about undefined output "
                        "gradients' in autograd.Function."
                    )

    def batched(self) -> None:
        """A vectorised backward against one after the other."""
        from graphc.func.mapping import vmap

        values = self._variables()
        with enable_grad():
            outputs = [y for y in self._tracked_as_before(values) if y.requires_grad]
        variables = [values[i] for i in self.places]
        random = np.random.default_rng(0)
        for y in outputs:
            stacked = _of_array(random.standard_normal((2, *y.shape)), y)

            def pull(v: Tensor, y: Tensor = y) -> tuple[Tensor, ...]:
                found = grad(y, variables, v, retain_graph=True, allow_unused=True)
                return tuple(
                    x.detach()._zeros() if g is None else g
                    for g, x in zip(found, variables, strict=True)
                )

            together = vmap(pull)(stacked)
            for k in range(2):
                for a, b in zip(together, pull(stacked[k]), strict=True):
                    self._compare("batched backward", 0, k, _values(a, a)[k], _values(b, b))

    def batched_forward(self) -> None:
        """A vectorised push forward against one after the other."""
        from graphc.func.gradients import jvp
        from graphc.func.mapping import vmap

        primals = tuple(self.inputs[i].detach() for i in self.places)
        random = np.random.default_rng(0)

        def of_variables(*chosen: Tensor) -> Any:
            values = list(self.inputs)
            for i, x in zip(self.places, chosen, strict=True):
                values[i] = x
            return tuple(self._run(values))

        def push(*tangents: Tensor) -> Any:
            return jvp(of_variables, primals, tangents)[1]

        stacked = [_of_array(random.standard_normal((2, *x.shape)), x) for x in primals]
        together = vmap(push)(*stacked)
        for k in range(2):
            for a, b in zip(together, push(*(s[k] for s in stacked)), strict=True):
                self._compare("batched forward", 0, k, _values(a, a)[k], _values(b, b))

    def grad_dtypes(self) -> None:
        """Gradients have the dtypes of their inputs."""
        values = self._variables()
        with enable_grad():
            outputs = [y for y in self._tracked_as_before(values) if y.requires_grad]
        variables = [values[i] for i in self.places]
        with no_grad():
            weights = [y.detach()._ones() for y in outputs]
        found = grad(outputs, variables, weights, allow_unused=True)
        for g, x in zip(found, variables, strict=True):
            if g is not None and g.dtype is not x.dtype:
                raise GradcheckError(f"the gradient of a {x.dtype} input is of dtype {g.dtype}")


def _unit(random: "np.random.Generator", like: Tensor) -> Array:
    """A random vector of length 1 in the shape of a tensor."""
    v = random.standard_normal(tuple(like.shape))
    length = float(np.sqrt(np.sum(v * v)))
    return np.asarray(v / length) if length else v
