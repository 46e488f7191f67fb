"""Where the jinja2 templates and the runtime's C and CUDA sources are.

In a checkout (and an editable install) they are ``templates/`` and ``runtime/`` beside the package;
a wheel carries them inside it as ``graphc/_templates`` and ``graphc/_runtime``.
"""

from functools import cache
from pathlib import Path
from typing import Literal


class ResourceError(FileNotFoundError):
    """The installation lacks its templates or runtime sources."""


@cache
def resources(kind: Literal["templates", "runtime"]) -> Path:
    """The folder of that kind. Raises ResourceError, naming the places searched."""
    package = Path(__file__).resolve().parent
    # Inside a wheel the packaged copy must win: a folder beside the package would be a stranger's.
    places = (package / f"_{kind}", package.parent / kind)
    for place in places:
        if (place / "c").is_dir():
            return place
    raise ResourceError(
        f"graphc's {kind} are in neither {places[0]} nor {places[1]}; reinstall graphc"
    )
