"""Many items, one piece of work for each: here or in several processes, behind one interface, `Pool`.

A pool gives outcomes as they come. What cannot be done is an outcome too, and stops nothing else. A worker that is
killed loses nothing: its items are done again, by others. It doubles nothing if doing an item twice leaves what
doing it once does, as writing beside and renaming does.

Processes ask for one item after the other, so none waits behind a long one while others have nothing to do. Where the
work is cheaper for several at once (`WorkTogether`), a process goes on asking until it has begun as many as it may, and
ends those together; it ends them earlier where they are its share of all that is left, so that no process begins what
others have time for (guided self-scheduling, Polychronopoulos and Kuck 1987), and before it ends a long one. What a
process held when it died is done again one by one: it is not known which item it died of, and no other is to be lost
with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, Protocol

from inference.shell import one_line

# How often an item is begun at most: a process that dies most likely dies of its item.
TRIES = 2
# Seconds between two messages on the progress of an item, and until a process is killed that does not end.
REPORT_EVERY = 0.1
PATIENCE = 5.0
# Each process has a core: with more threads than one they would only wait for each other.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# The result for an item; it is given what to call with how much of the item is done so far.
Work = Callable[[Any, Callable[[float], None]], Any]


class WorkerError(ValueError):
    """The workers cannot begin, or there are none left; the message says what to do."""


class Failure(NamedTuple):
    """Why an item could not be done, on a line, and the number of the system's error if it was one."""

    line: str
    errno: int | None = None


class Outcome(NamedTuple):
    """An item with its result or its `Failure`."""

    item: Any
    result: Any


class Pool(Protocol):
    """Where work is done."""

    def run(
        self, begin: Callable[[], Work], items: Sequence[Any], tell: Callable[[Any, float], None]
    ) -> Iterator[Outcome]:
        """Do the work for each item; the outcomes in any order, one for each.

        Closed early, it ends what is going on.

        Args:
            begin: Makes the work, a `Work` unless the pool says otherwise, once in each worker; it and the items can be
                pickled.
            items: What it is done for; each different from the others, and named by its `str`.
            tell: Called with an item and how much of it is done, in the unit of the work (seconds of sound, say); less
                again if it is begun anew.

        Raises:
            WorkerError: no worker can begin, or none is left.
        """
        ...


def attempt(work: Work, item: Any, tell: Callable[[float], None]) -> Any:
    """The result for an item, or a `Failure` for what its user can do something about."""
    try:
        return work(item, tell)
    except MemoryError:
        return Failure(f"{item}: not enough memory")
    except (ValueError, OSError) as error:
        return Failure(one_line(error), error.errno if isinstance(error, OSError) else None)


class WorkTogether(Protocol):
    """Work that is begun for each item by itself, in another thread maybe, and ended for several at once.

    Items are hashable.
    """

    def begin(self, item: Any) -> Any: ...

    def waits(self, begun: Any) -> bool:
        """Whether it is ended with others; what takes long is not, and nothing waits for it."""
        ...

    def end(self, begun: Sequence[tuple[Any, Any]], tell: Callable[[Any, float], None]) -> Iterator[Outcome]:
        """One outcome for each."""
        ...


class Here:
    """One item after the other, in this process."""

    def run(
        self, begin: Callable[[], Work], items: Sequence[Any], tell: Callable[[Any, float], None]
    ) -> Iterator[Outcome]:
        work = begin()
        for item in items:
            yield Outcome(item, attempt(work, item, partial(tell, item)))


# --- processes --------------------------------------------------------------------------------------------------------


@dataclass
class _Worker:
    process: multiprocessing.process.BaseProcess
    begun: bool = False
    asks: bool = False
    numbers: list[int] = field(default_factory=list)  # of the items that it has


class Processes:
    """Processes of this machine, each of which makes the work once.

    Args:
        jobs: How many at most.
        program: What a line on standard error begins with, which says that a process was lost.
        at_once: Items that a process ends together at most; more than 1 take a `WorkTogether`.
    """

    def __init__(self, jobs: int, *, program: str, at_once: int = 1):
        self._jobs = jobs
        self._program = program
        self._at_once = at_once
        self._context = multiprocessing.get_context("spawn")  # a fork would copy the locks of running threads

    def run(
        self, begin: Callable[[], Work], items: Sequence[Any], tell: Callable[[Any, float], None]
    ) -> Iterator[Outcome]:
        waiting, tries = deque(range(len(items))), Counter[int]()
        workers: dict[Connection, _Worker] = {}
        left = len(items)
        self._most = self._jobs
        try:
            while left:
                # As many as there is work for: at the end fewer are replaced.
                while len(workers) < min(self._most, left):
                    self._start(workers, begin)
                for channel in wait(list(workers)):
                    outcomes = []
                    try:
                        kind, content = channel.recv()
                    except (EOFError, OSError):
                        outcomes = self._died(workers, channel, items, waiting, tries)
                    else:
                        if kind == "told":
                            number, amount = content
                            tell(items[number], amount)
                        elif kind == "free":
                            workers[channel].begun = workers[channel].asks = True
                        else:
                            check_answer(kind, content)
                            number, result = content
                            workers[channel].numbers.remove(number)
                            outcomes = [Outcome(items[number], result)]
                    left -= len(outcomes)
                    yield from outcomes
                for channel, worker in workers.items():
                    if worker.asks:
                        self._hand(channel, worker, waiting, items, tries, left)
        finally:
            _end(workers)

    def _start(self, workers: dict[Connection, _Worker], begin: Callable[[], Work]) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, begin, self._at_once), daemon=True)
        with _quiet_start():
            process.start()
        theirs.close()
        workers[ours] = _Worker(process)

    def _hand(
        self,
        channel: Connection,
        worker: _Worker,
        waiting: deque[int],
        items: Sequence[Any],
        tries: Counter,
        left: int,
    ) -> None:
        """Give a worker that asks the next item, or nothing, at which it ends what it has; or let it wait."""
        given = None
        if waiting and not self._enough(worker.numbers, waiting[0], tries, left):
            number = waiting.popleft()
            given = number, items[number]
            worker.numbers.append(number)
            tries[number] += 1
        elif not worker.numbers:
            return
        worker.asks = False
        with suppress(OSError):  # it has died, which shows when it is listened to
            channel.send(given)

    def _enough(self, numbers: Sequence[int], coming: int, tries: Counter, left: int) -> bool:
        """Whether a worker ends what it has before what comes: its share of all that is left, or one is done alone."""
        if not numbers:
            return False
        return len(numbers) * self._most >= left or tries[coming] > 0 or tries[numbers[0]] > 1

    def _died(
        self,
        workers: dict[Connection, _Worker],
        channel: Connection,
        items: Sequence[Any],
        waiting: deque[int],
        tries: Counter,
    ) -> list[Outcome]:
        """Note that a worker has ended by itself; the outcomes for those of its items that are not begun again."""
        worker = workers.pop(channel)
        channel.close()
        worker.process.join(PATIENCE)
        why = _ending(worker.process.exitcode)
        if not worker.begun:
            self._most -= 1
            if not self._most:
                raise WorkerError(f"the worker processes cannot begin: the last one {why}; take fewer --jobs")
            print(f"{self._program}: a worker process {why} before it began; going on with fewer", file=sys.stderr)
            return []
        waiting.extendleft(reversed([number for number in worker.numbers if tries[number] < TRIES]))
        failed = [items[number] for number in worker.numbers if tries[number] >= TRIES]
        said = f"{TRIES} processes died while they did it; the last one {why}"
        return [Outcome(item, Failure(f"{item}: {said}")) for item in failed]


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        killed = "; the machine may be out of memory" if code == -getattr(signal, "SIGKILL", 9) else ""
        return f"was ended by signal {-code}{killed}"
    return f"ended with code {code}"


def check_answer(kind: str, content: Any) -> None:
    """Raise what keeps a worker from going on, if its answer is that."""
    if kind == "unfit":
        raise WorkerError(content)
    if kind == "bug":
        raise RuntimeError(f"in a worker:\n{content}")
    assert kind == "done", kind


def _end(workers: dict[Connection, _Worker]) -> None:
    for worker in workers.values():
        worker.process.terminate()
    for channel, worker in workers.items():
        worker.process.join(PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        channel.close()


@contextmanager
def _quiet_start() -> Iterator[None]:
    """A process that is started within computes on one thread, and leaves Ctrl-C to the one that started it."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    if sys.platform != "win32":
        # The first process brings multiprocessing's tracker with it, which would lift the block while it starts.
        resource_tracker.ensure_running()
    blocks = hasattr(signal, "pthread_sigmask")
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocks else None
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if masked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)


def _serve(channel: Connection, begin: Callable[[], Any], at_once: int) -> None:
    """What a worker process does: results for items, until nobody asks any more."""
    if not hasattr(signal, "pthread_sigmask"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work = begun(begin)
        if isinstance(work, Failure):
            channel.send(("unfit", work.line))
            return
        tell = _Reporter(channel)
        results = _OneByOne(work, tell) if at_once == 1 else _Together(work, tell, at_once)
        while True:
            channel.send(("free", None))
            given = channel.recv()
            try:
                for number, result in results(given):
                    channel.send(("done", (number, result)))
            except Exception:
                channel.send(("bug", traceback.format_exc()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the one that asked is gone


class _OneByOne:
    """The result of each item as it is given, with its number."""

    def __init__(self, work: Work, tell: Callable[[int, float], None]):
        self._work, self._tell = work, tell

    def __call__(self, given: tuple[int, Any]) -> Iterator[tuple[int, Any]]:
        number, item = given
        yield number, attempt(self._work, item, partial(self._tell, number))


class _Together:
    """Begins each item as it is given; the results of several, with their numbers, when they are enough or all."""

    def __init__(self, work: WorkTogether, tell: Callable[[int, float], None], at_once: int):
        self._work, self._tell, self._at_once = work, tell, at_once
        # Those that wait, by their numbers: each with what was begun of it.
        self._begun: dict[int, tuple[Any, Any]] = {}

    def __call__(self, given: tuple[int, Any] | None) -> Iterator[tuple[int, Any]]:
        if given is not None:
            number, item = given
            one = item, self._work.begin(item)
            if not self._work.waits(one[1]):
                yield from self._ended()
                self._begun[number] = one
                yield from self._ended()
                return
            self._begun[number] = one
        if given is None or len(self._begun) == self._at_once:
            yield from self._ended()

    def _ended(self) -> Iterator[tuple[int, Any]]:
        """The results of what was begun, if anything."""
        begun, self._begun = self._begun, {}
        if not begun:
            return
        numbers = {item: number for number, (item, _) in begun.items()}
        told = dict(numbers)
        for item, result in self._work.end(list(begun.values()), lambda one, amount: self._tell(told[one], amount)):
            yield numbers.pop(item), result
        assert not numbers, f"not ended: {list(numbers)}"


class _Reporter:
    """Tells how far an item is, by its number: at once of each, and then not too often."""

    def __init__(self, channel: Connection):
        self._channel = channel
        self._number, self._last = -1, 0.0

    def __call__(self, number: int, amount: float) -> None:
        now = time.monotonic()
        if number != self._number or now - self._last >= REPORT_EVERY:
            self._number, self._last = number, now
            try:
                self._channel.send(("told", (number, amount)))
            except OSError:
                os._exit(1)  # the one that asked is gone: nobody would want the result either


def begun(begin: Callable[[], Work]) -> Work | Failure:
    """The work, or why it cannot begin."""
    try:
        return begin()
    except (ValueError, OSError) as error:
        return Failure(one_line(error))


def done(work: Work, item: Any, tell: Callable[[float], None]) -> tuple[str, Any]:
    """A worker's answer on an item: `done` with its result, or `bug` with the traceback of a mistake of the program."""
    try:
        return "done", attempt(work, item, tell)
    except Exception:
        return "bug", traceback.format_exc()
