"""Running compilers: several at once, without a shell, none left behind."""

import contextlib
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A process to run; ``name`` tells it from the others."""

    name: str
    argv: Sequence[str]


@dataclass
class _Running:
    job: Job
    process: "subprocess.Popen[bytes]"
    output: bytearray


def run_jobs(
    jobs: Sequence[Job],
    at_once: int,
    environment: Mapping[str, str],
    done: Callable[[Job, int, str], None],
) -> None:
    """Runs all jobs, ``at_once`` at a time; ``done(job, status, output)`` as each ends.

    When ``done`` raises, or the user interrupts, the processes still running are killed.
    """
    waiting = list(reversed(jobs))
    running: dict[int, _Running] = {}
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < max(1, at_once):
                    one = _start(waiting.pop(), environment)
                    assert one.process.stdout is not None
                    handle = one.process.stdout.fileno()
                    running[handle] = one
                    selector.register(handle, selectors.EVENT_READ)
                for key, _ in selector.select():
                    one = running[key.fd]
                    data = os.read(key.fd, 65536)
                    if data:
                        one.output += data
                        continue
                    selector.unregister(key.fd)
                    status = one.process.wait()
                    _close(running.pop(key.fd))
                    done(one.job, status, one.output.decode(errors="replace"))
        finally:
            for one in running.values():
                # Its own session, since compilers start processes of theirs.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(one.process.pid, signal.SIGKILL)
                one.process.wait()
                _close(one)


def _start(job: Job, environment: Mapping[str, str]) -> _Running:
    process = subprocess.Popen(
        list(job.argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )
    return _Running(job, process, bytearray())


def _close(one: _Running) -> None:
    assert one.process.stdout is not None
    one.process.stdout.close()
