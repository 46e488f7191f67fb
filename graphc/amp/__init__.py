"""Mixed precision: ``autocast`` chooses the dtype of operations, ``GradScaler`` keeps gradients."""

from graphc.amp import autocast_mode, grad_scaler
from graphc.amp.autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from graphc.amp.grad_scaler import GradScaler

__all__ = [
    "GradScaler",
    "autocast",
    "autocast_mode",
    "custom_bwd",
    "custom_fwd",
    "grad_scaler",
    "is_autocast_available",
]
