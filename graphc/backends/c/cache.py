"""The per-user folder of compiled objects, addressed by content.

An entry is written to a temporary file in the folder and renamed, so a reader sees all of it or
nothing, however many processes write it and whenever one of them is killed. It ends in a checksum
over its key and content, which is checked at every reading: a truncated, flipped or misplaced
entry counts as absent and is built anew. (No fsync: after a power cut the checksum decides.)

What is in the folder gets loaded into the process, so nobody else may be able to write there: it
must be a real directory, owned by this user, writable by no one else. That also settles the
moment between checking an entry and loading it: only the user could slip in another file then,
and the user can run any code anyhow. The checksum is against damage, not against enemies.
"""

import atexit
import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from graphc import config

FORMAT = "graphc cache 1"
_MAGIC = b"gc-entry"
_TRAILER = 32 + len(_MAGIC)
_HOUR = 3600.0


class CacheRefused(RuntimeError):  # noqa: N818 - it says what happened
    """The cache folder cannot be trusted or cannot be written."""


def digest(*parts: str | bytes) -> str:
    """sha256 over the parts and their lengths, as hexadecimal text."""
    state = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        state.update(b"%d:" % len(data))
        state.update(data)
    return state.hexdigest()


def _trailer(key: str, content: bytes) -> bytes:
    state = hashlib.sha256(key.encode())
    state.update(content)
    return state.digest() + _MAGIC


@dataclass(frozen=True)
class Cache:
    """A checked folder; make it with :func:`open_cache` or :meth:`at`."""

    root: Path

    @staticmethod
    def at(root: Path) -> "Cache":
        """The cache in that folder, which is created if missing (mode 0700).

        Raises CacheRefused when it is a link, not a directory, owned by another user, writable by
        group or others, or not writable by us.
        """
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            _check_parent(root.parent)
            for folder in (root, *(root / name for name in ("entries", "tmp", "locks"))):
                _make_private(folder)
        except OSError as error:
            raise CacheRefused(f"cache folder {root}: {error.strerror or error}") from error
        return Cache(root)

    # -------------------------------------------------------------------------------- entries

    def path(self, key: str, suffix: str) -> Path:
        """Where the entry is, or would be. The suffix says what it is (``.o``, ``.so``)."""
        return self.root / "entries" / key[:2] / (key + suffix)

    def read(self, key: str, suffix: str) -> bytes | None:
        """The content of an entry, or None when it is absent or damaged."""
        path = self.path(key, suffix)
        try:
            # A planted link is not followed, and a fifo must not block us.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with open(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or _distrust(status):
                return None
            data = file.read()
            if time.time() - status.st_mtime > _HOUR:  # used lately; not worth a write each time
                with contextlib.suppress(OSError):
                    os.utime(handle)
        content = data[:-_TRAILER]
        return content if data[-_TRAILER:] == _trailer(key, content) else None

    def has(self, key: str, suffix: str) -> bool:
        """Whether the entry is there and whole."""
        return self.read(key, suffix) is not None

    def write(self, key: str, suffix: str, content: bytes) -> Path:
        """Stores an entry with its checksum; ELF readers ignore what follows the sections."""
        return self.write_plain(key, suffix, content + _trailer(key, content))

    def write_plain(self, key: str, suffix: str, content: bytes) -> Path:
        """Stores a file for people and compilers to read, without a checksum."""
        path = self.path(key, suffix)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.root / "tmp")
        try:
            with open(handle, "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        return path

    # -------------------------------------------------------------------------------- working

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """A private folder for a compiler, removed afterwards."""
        folder = Path(tempfile.mkdtemp(dir=self.root / "tmp"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self, key: str, patience: float = 60.0) -> Iterator[None]:
        """Keeps processes from building the same thing side by side.

        Only to save work: the kernel drops the lock of a killed process, one that is stopped
        makes others wait no longer than ``patience`` seconds, and no file depends on it.
        """
        try:
            handle = os.open(
                self.root / "locks" / key[:2], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError:
            yield
            return
        try:
            deadline = time.monotonic() + patience
            pause = 0.002
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(pause)
                    pause = min(2 * pause, 0.05)
                except OSError:  # a file system without locks
                    break
            yield
        finally:
            os.close(handle)

    # ------------------------------------------------------------------------------- eviction

    def evict_sometimes(self) -> None:
        """Holds the folder to GRAPHC_CACHE_SIZE, at most once in an hour."""
        stamp = self.root / "evicted"
        try:
            if time.time() - stamp.stat().st_mtime < _HOUR:
                return
        except FileNotFoundError:
            pass
        try:
            stamp.touch(mode=0o600)
        except OSError:
            return
        self.evict(config.CACHE_SIZE.value << 20)

    def evict(self, limit: int) -> int:
        """Deletes the entries unused longest until ``limit`` bytes remain; returns the bytes left.

        What a killed process left in the working folder an hour ago goes too.
        """
        found: list[tuple[float, int, str]] = []
        for folder in os.scandir(self.root / "entries"):
            with contextlib.suppress(OSError):
                for entry in os.scandir(folder):
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime, status.st_size, entry.path))
        total = sum(size for _, size, _ in found)
        if total > limit:
            for _, size, path in sorted(found):
                with contextlib.suppress(OSError):
                    os.unlink(path)
                    total -= size
                if total <= limit * 3 // 4:
                    break
        for leftover in os.scandir(self.root / "tmp"):
            with contextlib.suppress(OSError):
                if time.time() - leftover.stat(follow_symlinks=False).st_mtime > _HOUR:
                    if leftover.is_dir(follow_symlinks=False):
                        shutil.rmtree(leftover.path)
                    else:
                        os.unlink(leftover.path)
        return total


# --------------------------------------------------------------------------------------- trusting


def _distrust(status: os.stat_result) -> str | None:
    if status.st_uid != os.geteuid():
        return f"is owned by user {status.st_uid}, not by you"
    if status.st_mode & 0o022:
        return f"is writable by others (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def _make_private(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise CacheRefused(f"cache folder {folder} is a symbolic link")
    if not stat.S_ISDIR(status.st_mode):
        raise CacheRefused(f"cache folder {folder} is not a directory")
    reason = _distrust(status)
    if reason:
        raise CacheRefused(f"cache folder {folder} {reason}")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise CacheRefused(f"cache folder {folder} is not writable")


def _check_parent(parent: Path) -> None:
    """In a folder that all may write (and that is not sticky) a checked folder could be swapped."""
    status = parent.stat()
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise CacheRefused(f"cache folder's parent {parent} is writable by everybody")


# ---------------------------------------------------------------------------------------- opening


def default_root() -> Path:
    """GRAPHC_CACHE_DIR, else ``graphc`` under XDG_CACHE_HOME or ``~/.cache``.

    Raises CacheRefused when there is no home folder.
    """
    if config.CACHE_DIR.value is not None:
        return config.CACHE_DIR.value.absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the XDG specification has relative paths ignored
        return Path(base) / "graphc"
    try:
        return Path.home() / ".cache" / "graphc"
    except RuntimeError as error:
        raise CacheRefused(f"no home folder: {error}") from error


def open_cache() -> Cache:
    """The user's cache; when it is refused, a private temporary one, with a warning once."""
    try:
        return Cache.at(default_root())
    except CacheRefused as refusal:
        return private_cache(str(refusal))


def private_cache(reason: str) -> Cache:
    """This process's own cache, deleted when it exits; warns with the reason (each once)."""
    _warn_once(reason, os.getpid())
    return _private_cache(os.getpid())


@cache
def _warn_once(reason: str, _process: int) -> None:
    warnings.warn(
        f"{reason}; compiled code goes to a temporary folder and is forgotten at exit. "
        "Set GRAPHC_CACHE_DIR to a folder of your own (mode 0700) to keep it.",
        RuntimeWarning,
        stacklevel=2,
    )


@cache
def _private_cache(process: int) -> Cache:
    folder = Path(tempfile.mkdtemp(prefix="graphc-"))

    def remove() -> None:
        if os.getpid() == process:  # a forked child leaves its parent's folder alone
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return Cache.at(folder / "cache")
