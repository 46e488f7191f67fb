"""L-BFGS: Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.

How many times a step calls its closure depends on what the losses are, so a step runs eagerly; the
closure's forward and backward may well be compiled.
"""

from typing import Any

from graphc.functions.creation import zeros_like
from graphc.functions.joining import cat
from graphc.modes import MODES
from graphc.optim.groupwise import check, check_lr
from graphc.optim.line_search import strong_wolfe
from graphc.optim.numbers import value_of
from graphc.optim.optimizer import Closure, Optimizer
from graphc.tracing import eager_only


class LBFGS(Optimizer):
    """Newton's method with an inverse Hessian estimated from the last ``history_size`` steps.

    A step makes up to ``max_iter`` iterations and ``max_eval`` calls of its closure (default
    ``max_iter * 5 // 4``), which zeroes the gradients, computes the loss, calls ``backward`` and
    returns the loss. It ends early when no gradient exceeds ``tolerance_grad``, or parameters and
    loss move by no more than ``tolerance_change``. ``line_search_fn`` is None (steps of ``lr``) or
    "strong_wolfe". Takes one group of parameters.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        defaults = {
            "lr": lr, "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
            "history_size": history_size, "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        check(
            len(self.param_groups) == 1,
            "LBFGS doesn't support per-parameter options (parameter groups)",
        )

    @property
    def _params(self) -> list[Any]:
        return self.param_groups[0]["params"]  # type: ignore[no-any-return]

    def _gradient(self) -> Any:
        """All gradients as one vector; zeros where there is none."""
        parts = [zeros_like(p) if p.grad is None else p.grad for p in self._params]
        return cat([part.reshape(-1) for part in parts], 0)

    def _move(self, size: Any, direction: Any) -> None:
        start = 0
        for p in self._params:
            part = direction[start : start + p.numel()]
            p.add_(part.reshape(p.shape), alpha=size)
            start += p.numel()

    # PyTorch's signature: without a closure there is nothing to do.
    def step(self, closure: Closure) -> Any:  # type: ignore[override]
        """Minimises for up to ``max_iter`` iterations; gives the first loss.

        Raises RuntimeError for an unknown line search.
        """
        eager_only("LBFGS.step calls its closure as often as the losses ask for")
        recorded = MODES.grad
        MODES.grad = False
        try:
            return self._minimise(closure)
        finally:
            MODES.grad = recorded

    def _minimise(self, closure: Closure) -> Any:
        group = self.param_groups[0]
        lr = value_of(group["lr"])
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        def evaluate() -> Any:
            MODES.grad = True
            try:
                return closure()
            finally:
                MODES.grad = False

        first = evaluate()
        loss = float(first)
        evaluations = 1
        state["func_evals"] += 1
        gradient = self._gradient()
        if gradient.abs().max() <= group["tolerance_grad"]:
            return first
        direction, size = state.get("d"), state.get("t")
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(state, gradient, direction, size)
            if state.get("prev_flat_grad") is None:
                state["prev_flat_grad"] = gradient.clone()
            else:
                state["prev_flat_grad"].copy_(gradient)
            previous = loss
            size = lr
            if state["n_iter"] == 1:
                size = min(1.0, 1.0 / gradient.abs().sum()) * lr
            slope = gradient.dot(direction)
            state.update(d=direction, t=size, prev_loss=previous)
            if slope > -group["tolerance_change"]:
                break
            used = 0
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                loss, gradient, size, used = self._search(
                    evaluate, size, direction, loss, gradient, slope,
                    group["max_eval"] - evaluations,
                )  # fmt: skip
                state["t"] = size
                self._move(size, direction)
            else:
                self._move(size, direction)
                if iteration != group["max_iter"]:  # else nobody would look at the gradient
                    loss = float(evaluate())
                    gradient = self._gradient()
                    used = 1
            evaluations += used
            state["func_evals"] += used
            if (
                evaluations >= group["max_eval"]
                or gradient.abs().max() <= group["tolerance_grad"]
                or (direction * size).abs().max() <= group["tolerance_change"]
                or abs(loss - previous) < group["tolerance_change"]
            ):
                break
        return first

    def _direction(self, state: dict[str, Any], gradient: Any, last: Any, size: Any) -> Any:
        """Minus the estimated inverse Hessian times the gradient, by two loops over the history."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -gradient
        changes, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
        history = self.param_groups[0]["history_size"]
        change = gradient - state["prev_flat_grad"]
        step = last * size
        curvature = change.dot(step)
        if curvature > 1e-10:
            if len(changes) == history:
                for oldest in (changes, steps, ro):
                    oldest.pop(0)
            changes.append(change)
            steps.append(step)
            ro.append(1.0 / curvature)
            state["H_diag"] = curvature / change.dot(change)
        if "al" not in state:
            state["al"] = [None] * history
        weights = state["al"]
        q = -gradient
        for i in reversed(range(len(changes))):
            weights[i] = steps[i].dot(q) * ro[i]
            q.add_(changes[i], alpha=-weights[i])
        r = q * state["H_diag"]
        for i in range(len(changes)):
            r.add_(steps[i], alpha=weights[i] - changes[i].dot(r) * ro[i])
        return r

    def _search(
        self, evaluate: Closure, size: Any, direction: Any, loss: float, gradient: Any,
        slope: Any, most: int,
    ) -> tuple[float, Any, Any, int]:  # fmt: skip
        """Loss, gradient and size of the step that the line search finds, and its evaluations."""
        start = [p.clone() for p in self._params]

        def at(size: Any) -> tuple[float, Any]:
            self._move(size, direction)
            value = float(evaluate())
            found = self._gradient()
            for p, before in zip(self._params, start, strict=True):
                p.copy_(before)
            return value, found

        return strong_wolfe(at, size, direction, loss, gradient, slope, most)
