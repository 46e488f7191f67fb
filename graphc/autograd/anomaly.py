"""Anomaly mode: gradients that are NaN name the line of the operation they come from."""

import warnings

from graphc.modes import MODES


class set_detect_anomaly:  # noqa: N801 - PyTorch's name
    """Turns anomaly mode on or off at once; in ``with``, restores it afterwards.

    While it is on, every recorded operation remembers the user's line. A backward whose gradient
    is NaN raises RuntimeError with the operation and that line (unless ``check_nan`` is False), and
    errors about overwritten values tell the line too. Inside ``graphc.compile`` values are not
    known, so nothing is looked for there.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = MODES.anomaly, MODES.check_nan
        MODES.anomaly, MODES.check_nan = bool(mode), bool(check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_exc: object) -> None:
        MODES.anomaly, MODES.check_nan = self._before


class detect_anomaly:  # noqa: N801
    """Anomaly mode within a ``with``; see :class:`set_detect_anomaly`."""

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan
        self._before = MODES.anomaly, MODES.check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should "
            "only be enabled for debugging.",
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self._before = MODES.anomaly, MODES.check_nan
        MODES.anomaly, MODES.check_nan = True, bool(self._check_nan)

    def __exit__(self, *_exc: object) -> None:
        MODES.anomaly, MODES.check_nan = self._before


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on."""
    return MODES.anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode looks for NaN."""
    return MODES.check_nan
