"""The cache of compiled objects against damage, strangers, races and sudden death."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from graphc.backends.c import BuiltProgram, SourceFile, address_of, build_program
from graphc.backends.c.cache import Cache, CacheRefused, default_root, open_cache

SOURCE = """#include "gc_program.h"
static void body(gc_thread *t) { *(double *)t->call->buffers[0] = %d; }
GC_EXPORT int64_t entry(gc_call *call) { return gc_run(call, body, 1); }
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(folder))
    monkeypatch.delenv("GRAPHC_SANITIZE", raising=False)
    return folder


def units(value: int, count: int = 1) -> list[SourceFile]:
    extra = [
        SourceFile(f"k{i}", f"int unused_{i}(int x) {{ return x + {i}; }}") for i in range(count)
    ]
    return [SourceFile("main", SOURCE % value), *extra]


def build(value: int = 7, count: int = 1) -> BuiltProgram:
    return build_program(units(value, count), entry="entry")


def result(built: BuiltProgram) -> float:
    out = np.zeros(1)
    built.program(buffers=1).run([address_of(out)])
    return float(out[0])


def test_second_build_compiles_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build()
    assert (first.hits, first.misses) == (0, 2)
    assert result(first) == 7

    def no_process(*_args: object, **_options: object) -> None:
        raise AssertionError("a warm build started a process")

    monkeypatch.setattr(subprocess, "Popen", no_process)
    monkeypatch.setattr(subprocess, "run", no_process)
    again = build()
    assert (again.hits, again.misses, again.path) == (2, 0, first.path)


def test_shared_units_are_built_once(root: Path) -> None:
    assert build(1, 3).misses == 4
    other = build(2, 3)
    assert (other.hits, other.misses) == (3, 1)


def test_folder_is_private(root: Path) -> None:
    build()
    for folder in (root, root / "entries", root / "tmp", root / "locks"):
        assert folder.stat().st_mode & 0o077 == 0
    for file in (root / "entries").glob("*/*"):
        assert file.stat().st_mode & 0o077 == 0
    assert list((root / "tmp").iterdir()) == []


# ------------------------------------------------------------------------------------- refusals


def refused(match: str) -> None:
    with pytest.raises(CacheRefused, match=match):
        Cache.at(default_root())
    with pytest.warns(RuntimeWarning, match=match):
        built = build(11)
    assert result(built) == 11
    assert default_root() not in built.path.parents
    assert built.path.parents[2].stat().st_mode & 0o077 == 0


def test_planted_link_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    root.symlink_to(tmp_path / "elsewhere")
    refused("symbolic link")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("inside", ["entries", "tmp", "locks"])
def test_planted_link_inside_is_refused(root: Path, tmp_path: Path, inside: str) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    root.mkdir(mode=0o700)
    (root / inside).symlink_to(tmp_path / "elsewhere")
    refused("symbolic link")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_folder_that_others_may_write_is_refused(root: Path, mode: int) -> None:
    root.mkdir()
    root.chmod(mode)
    refused("writable by others")


def test_foreign_folder_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir(mode=0o700)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(CacheRefused, match=f"owned by user {me}"):
        Cache.at(root)


def test_parent_that_all_may_write_is_refused(root: Path) -> None:
    root.parent.chmod(0o777)
    refused("writable by everybody")
    root.parent.chmod(0o1777)  # sticky: nobody can rename our folder
    assert Cache.at(root).root == root


def test_file_in_place_of_the_folder_is_refused(root: Path) -> None:
    root.write_text("not a folder")
    refused("not a directory")


def test_folder_that_cannot_be_made_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.write_text("not a folder")
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(root / "below" / "deeper"))
    refused("Not a directory")


def test_full_disk_falls_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Cache.write_plain

    def full(self: Cache, key: str, suffix: str, content: bytes) -> Path:
        if self.root == root:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, key, suffix, content)

    monkeypatch.setattr(Cache, "write_plain", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        built = build(12)
    assert result(built) == 12


def test_forked_child_leaves_the_temporary_folder(root: Path) -> None:
    script = (
        "import os, sys, warnings; warnings.simplefilter('ignore')\n"
        "from graphc.backends.c.cache import private_cache\n"
        "folder = private_cache('for this test').root\n"
        "if os.fork() == 0: sys.exit()\n"
        "os.wait(); print(folder.parent, folder.is_dir())"
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said[1] == "True"
    assert not Path(said[0]).exists()  # and its owner removes it at exit


def test_default_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GRAPHC_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "graphc"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_root() == tmp_path / "home" / ".cache" / "graphc"


# --------------------------------------------------------------------------------------- damage


def damages(data: bytes) -> list[bytes]:
    choose = random.Random(5)
    found = [b"", data[: len(data) // 2], data[:-1], data + b"x", bytes(len(data))]
    for _ in range(20):
        position = choose.randrange(len(data))
        found.append(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
    return found


def test_damaged_entries_count_as_absent(root: Path) -> None:
    cache = open_cache()
    whole = cache.write("ab12", ".o", b"content" * 50).read_bytes()
    assert cache.read("ab12", ".o") == b"content" * 50
    for data in damages(whole):
        cache.path("ab12", ".o").write_bytes(data)
        assert cache.read("ab12", ".o") is None
    # A whole entry under another's key is not that entry.
    cache.path("ab12", ".o").write_bytes(whole)
    os.rename(cache.path("ab12", ".o"), cache.path("ab13", ".o"))
    assert cache.read("ab13", ".o") is None


@pytest.mark.parametrize("both", [False, True])
def test_damaged_objects_are_rebuilt(root: Path, both: bool) -> None:
    built = build(21)
    whole = built.path.read_bytes()
    for data in damages(whole)[3:9]:
        # Replaced, not overwritten: this process has the old file mapped.
        built.path.unlink()
        built.path.write_bytes(data)
        built.path.chmod(0o600)
        if both:
            for path in (root / "entries").glob("*/*.o"):
                path.write_bytes(path.read_bytes()[:-60])
        again = build(21)
        assert again.misses == (2 if both else 0)
        assert again.path.read_bytes() == whole
        assert result(again) == 21


def test_planted_entries_are_not_loaded(root: Path, tmp_path: Path) -> None:
    built = build(22)
    stranger = tmp_path / "stranger.so"
    stranger.write_bytes(built.path.read_bytes())
    built.path.unlink()
    built.path.symlink_to(stranger)
    assert not build(22).path.is_symlink()

    built.path.unlink()
    os.mkfifo(built.path, 0o600)  # opening it must not hang either
    assert build(22).path.is_file()

    built.path.chmod(0o666)  # anybody may have written there since
    build(22)
    assert built.path.stat().st_mode & 0o022 == 0


# ----------------------------------------------------------------------------------- processes

BUILDER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_cache
print("ready", flush=True)
built = test_cache.build(int(sys.argv[1]), int(sys.argv[2]))
print(built.misses, test_cache.result(built), flush=True)
"""


def start(value: int, count: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(value), str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def test_racing_processes_build_once(root: Path) -> None:
    racers = [start(31, 5) for _ in range(8)]
    answers = [racer.communicate(timeout=120) for racer in racers]
    assert [errors for _, errors in answers] == [""] * 8
    found = [answer.splitlines()[-1].split() for answer, _ in answers]
    assert [value for _, value in found] == ["31.0"] * 8
    assert sum(int(misses) for misses, _ in found) == 6  # six distinct sources
    assert list((root / "tmp").iterdir()) == []


def test_killed_at_any_moment(root: Path) -> None:
    """Each victim dies somewhere else; the next build works and loads nothing half made."""
    choose = random.Random(3)
    for attempt in range(6):
        victim = start(41, 12)
        assert victim.stdout is not None and victim.stdout.readline() == "ready\n"
        time.sleep(choose.uniform(0.0, 0.4))
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
        assert victim.returncode in (-signal.SIGKILL, 0), attempt
    survivor = build(41, 12)
    assert result(survivor) == 41
    assert open_cache().has(survivor.path.stem, ".so")


def test_lock_waits_and_gives_up(root: Path) -> None:
    cache = open_cache()
    with cache.lock("aa"):
        began = time.monotonic()
        with cache.lock("aa", patience=0.2):
            assert time.monotonic() - began >= 0.2
    began = time.monotonic()
    with cache.lock("aa"):
        assert time.monotonic() - began < 0.2


# ------------------------------------------------------------------------------------- eviction


def test_eviction_deletes_what_was_unused_longest(root: Path) -> None:
    cache = open_cache()
    now = time.time()
    for age in range(10):
        path = cache.write(f"{age:02d}", ".o", bytes(1000))
        os.utime(path, (now - 7200 * age, now - 7200 * age))
    stale, fresh = root / "tmp" / "stale", root / "tmp" / "fresh"
    stale.mkdir()
    fresh.mkdir()
    os.utime(stale, (now - 7200, now - 7200))

    assert cache.read("09", ".o") is not None  # reading counts as use
    left = cache.evict(8000)
    assert left <= 6000
    kept = [age for age in range(10) if cache.has(f"{age:02d}", ".o")]
    assert kept == [0, 1, 2, 3, 9]
    assert fresh.exists() and not stale.exists()


def test_builds_keep_the_folder_small(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = open_cache()
    for number in range(40):
        path = cache.write(f"{number:02d}", ".o", bytes(100_000))
        os.utime(path, (1000 + number, 1000 + number))
    monkeypatch.setenv("GRAPHC_CACHE_SIZE", "1")
    assert result(build(51)) == 51
    assert sum(path.stat().st_size for path in (root / "entries").glob("*/*")) <= 1 << 20
    assert build(51).misses == 0  # what was just built stays


def test_eviction_is_rare(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = open_cache()
    runs: list[int] = []
    monkeypatch.setattr(Cache, "evict", lambda _self, limit: runs.append(limit))
    monkeypatch.setenv("GRAPHC_CACHE_SIZE", "3")
    cache.evict_sometimes()
    cache.evict_sometimes()
    assert runs == [3 << 20]
    os.utime(root / "evicted", (1, 1))
    cache.evict_sometimes()
    assert len(runs) == 2
