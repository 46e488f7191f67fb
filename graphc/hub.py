"""PyTorch Hub, which graphc does not have: models are not fetched and run from the network."""

import os
from pathlib import Path
from typing import Any, NoReturn

_chosen: list[str] = []


def get_dir() -> str:
    """The folder that downloads would be kept in: ``$TORCH_HOME/hub``, or below the cache."""
    if _chosen:
        return _chosen[-1]
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return str(Path(home).expanduser() / "hub")


def set_dir(d: Any) -> None:
    """Chooses that folder."""
    _chosen.append(os.path.expanduser(d))


def _refuse(name: str, instead: str) -> NoReturn:
    raise RuntimeError(f"hub.{name}: graphc fetches nothing from the network. {instead}")


def _model(name: str) -> NoReturn:
    _refuse(name, "Install the package that defines the model, and load its weights from a file.")


def load(repo_or_dir: Any, model: str, *args: Any, **kwargs: Any) -> Any:
    """Models of repositories are not run. Raises RuntimeError."""
    del repo_or_dir, model, args, kwargs
    _model("load")


def list(github: str, *args: Any, **kwargs: Any) -> Any:
    """Models of repositories are not listed. Raises RuntimeError."""
    del github, args, kwargs
    _model("list")


def help(github: str, model: str, *args: Any, **kwargs: Any) -> Any:
    """Models of repositories are not described. Raises RuntimeError."""
    del github, model, args, kwargs
    _model("help")


def download_url_to_file(url: str, dst: str, *args: Any, **kwargs: Any) -> None:
    """Files are not downloaded. Raises RuntimeError."""
    del args, kwargs
    _refuse("download_url_to_file", f"Download {url} to {dst} yourself.")


def load_state_dict_from_url(url: str, model_dir: str | None = None, **kwargs: Any) -> Any:
    """``graphc.load`` of a file that was downloaded before.

    It is looked for in ``model_dir`` (:func:`get_dir` + ``/checkpoints``) under the name at the
    end of the address, or ``file_name``. Raises RuntimeError where it is not.
    """
    folder = Path(model_dir or os.path.join(get_dir(), "checkpoints"))
    name = kwargs.get("file_name") or url.partition("?")[0].rpartition("/")[2]
    path = folder / name
    if not path.exists():
        _refuse("load_state_dict_from_url", f"Download {url} to {path}, where it is looked for.")
    from graphc.serialization import load as load_file

    options = {k: kwargs[k] for k in ("map_location", "weights_only") if k in kwargs}
    return load_file(path, **options)
