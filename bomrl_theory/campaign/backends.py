"""Who does a campaign's chunks: this process, processes of this machine through joblib's loky, or a Dask cluster.

Each yields what came of every chunk exactly once, in any order. A worker that dies takes nothing along: its chunks are
done again elsewhere. Only so many chunks are under way that memory does not grow with the campaign.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, Literal, Protocol

from bomrl_theory.campaign.chunk import Done, Work, judge_chunk, own_version
from bomrl_theory.errors import InvalidTask, LostWorker, MissingExtra

Backend = Literal["serial", "processes", "dask"]
BACKENDS: tuple[Backend, ...] = ("serial", "processes", "dask")
AHEAD = 2
"""Chunks under way for each worker, so that none is idle while a result is written."""
ATTEMPTS = 4
"""A chunk whose workers die so often in a row is given up: it is the chunk that kills them."""
PATIENCE = 10.0
"""Seconds for a scheduler to answer."""


def check_installed(backend: Backend) -> None:
    """Require what the backend needs, before anything is written.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        if backend == "processes":
            from joblib.externals import loky  # noqa: F401
        elif backend == "dask":
            import distributed  # noqa: F401
    except ImportError:
        package, extra = ("joblib", "campaign") if backend == "processes" else ("distributed", "dask")
        raise MissingExtra(package, extra) from None


class Pool(Protocol):
    """Workers, however they are run."""

    @property
    def size(self) -> int:
        """How many chunks they do at a time, now."""
        ...

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        """What a chunk ends with whose worker has died."""
        ...

    def submit(self, work: Work) -> Future[Done]: ...

    def recover(self) -> None:
        """Have workers again after some have died; chunks under way may end with an error of :attr:`lost`."""
        ...

    def close(self, finished: bool) -> None:
        """End; what is still under way is given up."""
        ...


Results = Generator[Done, None, None]
"""What comes of the chunks; closing it ends the workers."""


def done_here(works: Iterable[Work]) -> Results:
    """One after the other, in this process."""
    yield from map(judge_chunk, works)


def done_by(pool: Pool, works: Iterable[Work]) -> Results:
    """By the pool, which is closed at the end.

    Raises:
        LostWorker: the same chunk's workers have died several times in a row.
    """
    works = iter(works)
    under_way: dict[Future[Done], Work] = {}
    again: list[Work] = []
    deaths: dict[Work, int] = {}
    finished = False
    try:
        while True:
            room = max(pool.size, 1) * AHEAD - len(under_way)
            for work in (*_taken(again, room), *islice(works, max(room - len(again), 0))):
                under_way[pool.submit(work)] = work
            if not under_way:
                finished = True
                return
            ended, _ = wait(under_way, return_when=FIRST_COMPLETED)
            dead = [future for future in ended if isinstance(_error(future), pool.lost)]
            for future in ended:
                work = under_way.pop(future)
                if future not in dead:
                    deaths.pop(work, None)
                    yield future.result()
                    continue
                deaths[work] = deaths.get(work, 0) + 1
                if deaths[work] >= ATTEMPTS:
                    raise LostWorker from _error(future)
                again.append(work)
            if dead:
                pool.recover()
    finally:
        pool.close(finished)


def _taken(works: list[Work], most: int) -> list[Work]:
    taken, works[:] = works[: max(most, 0)], works[max(most, 0) :]
    return taken


def _error(future: Future[Done]) -> BaseException | None:
    return CancelledError() if future.cancelled() else future.exception()


class Processes:
    """Processes of this machine.

    Args:
        count: how many.

    Raises:
        MissingExtra: joblib is not installed.
    """

    lost = (BrokenProcessPool, CancelledError)

    def __init__(self, count: int):
        check_installed("processes")
        from joblib.externals import loky

        self.size = count
        # One thread each: the processes are the parallelism, and sums must not depend on how threads share them.
        environment = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._make: Callable[[], Any] = lambda: loky.ProcessPoolExecutor(
            count, initializer=_begin, initargs=(os.getpid(),), env=environment
        )
        self._executor = self._make()

    def submit(self, work: Work) -> Future[Done]:
        try:
            return self._executor.submit(judge_chunk, work)
        except BrokenProcessPool as error:  # it broke since it was last looked at
            failed: Future[Done] = Future()
            failed.set_exception(error)
            return failed

    def recover(self) -> None:
        self._executor.shutdown(wait=True, kill_workers=True)
        self._executor = self._make()

    def close(self, finished: bool) -> None:
        hook = threading.excepthook
        if not finished:  # loky's own thread may stumble over work that is taken from it here
            threading.excepthook = lambda _: None
        try:
            self._executor.shutdown(wait=True, kill_workers=not finished)
        finally:
            threading.excepthook = hook


def _begin(parent: int) -> None:
    """In a worker: ctrl-C is for the first process, and a killed campaign leaves nobody behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Dask:
    """The workers of a Dask cluster.

    Args:
        scheduler: its address, such as ``tcp://127.0.0.1:8786``.

    Raises:
        MissingExtra: distributed is not installed.
        InvalidTask: no scheduler answers there, or a worker lacks this package.
    """

    def __init__(self, scheduler: str):
        check_installed("dask")
        import distributed
        from distributed.scheduler import KilledWorker

        try:
            self._client: Any = distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InvalidTask(
                f"--scheduler {scheduler}: no Dask scheduler answers there ({type(error).__name__}); start one with "
                "'dask scheduler', and workers with 'dask worker ADDRESS'"
            ) from None
        try:
            self._client.run(own_version)
        except ImportError as error:
            self._client.close()
            raise InvalidTask(
                f"--scheduler {scheduler}: a worker there cannot work ({error}); install bomrl-theory[dask] on it"
            ) from None
        self.lost: tuple[type[Exception], ...] = (KilledWorker, CancelledError)
        # Dask moves the chunks of a dead worker to others by itself.
        self._executor = self._client.get_executor(pure=False)

    @property
    def size(self) -> int:
        return sum(self._client.nthreads().values())

    def submit(self, work: Work) -> Future[Done]:
        return self._executor.submit(judge_chunk, work)

    def recover(self) -> None:
        """Dask has other workers, or waits for some."""

    def close(self, finished: bool) -> None:
        self._executor.shutdown(wait=finished)
        self._client.close()
