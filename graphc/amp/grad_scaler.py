"""``GradScaler``: gradients multiplied by a factor, so that small ones survive float16.

Scale and growth counter are tensors that ``update`` writes in place, computed without looking at
values. Whether a step is skipped is a question to the gradients: a compiled step has a part before
and a part after it, and the second is compiled once for each answer.
"""

import enum
import warnings
from collections.abc import Iterable
from typing import Any, cast

from graphc import dtypes
from graphc.device import device as Device
from graphc.functions.creation import full
from graphc.functions.joining import stack
from graphc.functions.pointwise import where
from graphc.modes import no_grad
from graphc.tensor import Tensor
from graphc.tracing import suspended

_FIX = "This may indicate your script did not use scaler.scale(loss or outputs) earlier in the iteration."  # noqa: E501 - PyTorch's words


class OptState(enum.Enum):
    """How far an optimizer has come in this iteration."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _non_finite(gradients: list[Any]) -> Any:
    """1.0 where any of the gradients has an infinity or a NaN, else 0.0."""
    flags = [g.isfinite().logical_not().any() for g in gradients]
    return stack(flags).any().to(dtypes.float32)


class GradScaler:
    """Scales losses, unscales gradients, skips steps with infinities, and adapts its scale.

    The scale begins at ``init_scale``, is multiplied by ``backoff_factor`` after a skipped step and
    by ``growth_factor`` after ``growth_interval`` others in a row. Disabled (as on ``cuda``, with
    a warning) it passes everything through.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = device
        self._enabled = enabled
        if device == "cuda" and enabled:
            warnings.warn(
                "graphc.amp.GradScaler is enabled, but CUDA is not available. Disabling; on the "
                'CPU it is GradScaler("cpu").',
                stacklevel=2,
            )
            self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale = init_scale
        self._scale: Tensor | None = None  # float32, made when scale() is called
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._init_growth_tracker = 0
        self._growth_tracker: Tensor | None = None  # int32: iterations since the scale changed
        self._per_optimizer_states: dict[int, dict[str, Any]] = {}

    # -------------------------------------------------------------------------------- the iteration

    def scale(self, outputs: Any) -> Any:
        """A tensor, or a nest of lists and tuples of them, multiplied by the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._begin(outputs.device)
            return outputs * cast(Tensor, self._scale)
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def _begin(self, device: Device) -> None:
        with suspended():  # it lives longer than a trace
            self._scale = full((), self._init_scale, dtype=dtypes.float32, device=device)
            self._growth_tracker = full(
                (), self._init_growth_tracker, dtype=dtypes.int32, device=device
            )

    def _begun(self, function: str) -> tuple[Any, Any]:
        """Scale and counter. Raises AssertionError before the first :meth:`scale`."""
        for name in ("_scale", "_growth_tracker"):
            if getattr(self, name) is None:
                raise AssertionError(f"Attempted {function} but {name} is None.  {_FIX}")
        return self._scale, self._growth_tracker

    def _state_of(self, optimizer: Any) -> dict[str, Any]:
        fresh = {"stage": OptState.READY, "found_inf_per_device": {}}
        return self._per_optimizer_states.setdefault(id(optimizer), fresh)

    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients of an optimizer by the scale, in place; for clipping, say.

        Raises RuntimeError the second time in an iteration and after :meth:`step`, ValueError for
        gradients in float16.
        """
        if not self._enabled:
            return
        scale, _ = self._begun("unscale_")
        state = self._state_of(optimizer)
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        gradients = []
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.grad.dtype is dtypes.float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                gradients.append(p.grad)
        with no_grad():
            inverse = scale.double().reciprocal().float()
            # No gradient at all, no check: step() and update() tell.
            found = {scale.device: _non_finite(gradients)} if gradients else {}
            for g in gradients:
                g.mul_(inverse)
        state["found_inf_per_device"] = found
        state["stage"] = OptState.UNSCALED

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)`` with unscaled gradients, unless one is not finite.

        Raises RuntimeError for a ``closure`` and the second time in an iteration, AssertionError
        where no gradient was there to look at.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._begun("step")
        state = self._state_of(optimizer)
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        if not state["found_inf_per_device"]:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None
        if not any(bool(found != 0) for found in state["found_inf_per_device"].values()):
            result = optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    @no_grad()
    def update(self, new_scale: Any = None) -> None:
        """Ends the iteration: adapts the scale, or sets it to a float or one-element tensor."""
        if not self._enabled:
            return
        scale, tracker = self._begun("update")
        if isinstance(new_scale, float):
            scale.fill_(new_scale)
        elif new_scale is not None:
            reason = (
                "new_scale should be a float or a 1-element graphc.cuda.FloatTensor or "
                "graphc.FloatTensor with requires_grad=False."
            )
            device = new_scale.device.type
            if device != self._device or new_scale.numel() != 1 or new_scale.requires_grad:
                raise AssertionError(reason)
            scale.copy_(new_scale.reshape(()))
        else:
            checks = [
                found
                for state in self._per_optimizer_states.values()
                for found in state["found_inf_per_device"].values()
            ]
            if not checks:
                raise AssertionError("No inf checks were recorded prior to update.")
            self._adapt(scale, tracker, stack(checks).sum() != 0)
        self._per_optimizer_states.clear()

    def _adapt(self, scale: Any, tracker: Any, skipped: Any) -> None:
        grown = scale * self._growth_factor
        full_interval = (tracker + 1) == self._growth_interval
        grows = full_interval & grown.isfinite()
        scale.copy_(where(skipped, scale * self._backoff_factor, where(grows, grown, scale)))
        tracker.copy_(where(skipped | full_interval, tracker * 0, tracker + 1))

    # -------------------------------------------------------------------------------- the settings

    def get_scale(self) -> float:
        """The scale as a number; 1.0 when disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else cast(float, self._scale.item())

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        tracker = self._growth_tracker
        return self._init_growth_tracker if tracker is None else cast(int, tracker.item())

    def is_enabled(self) -> bool:
        return self._enabled

    # ---------------------------------------------------------------------------------------- save

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors, interval and counter as numbers; empty when disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a :meth:`state_dict`; nothing when disabled. Raises RuntimeError if empty."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled "
                "instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._scale is not None:
            self._scale.fill_(self._init_scale)
        if self._growth_tracker is not None:
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning of an iteration, "
                    "or at the end after scaler.update()."
                )
            state["_init_scale"] = self.get_scale()
            state["_init_growth_tracker"] = self._get_growth_tracker()
            state["_scale"] = state["_growth_tracker"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # What a compiled function that uses the scaler looks at again at every call.
    watched: tuple[str, ...] = (
        "_enabled",
        "_growth_factor",
        "_backoff_factor",
        "_growth_interval",
        "_scale",
        "_growth_tracker",
        "_per_optimizer_states",
    )
