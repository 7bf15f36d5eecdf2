"""The machines of a Ray cluster as workers (https://docs.ray.io); an optional extra, imported when it is used.

Ray's own repetitions are off: an item whose worker, machine or result is lost is handed out again here, and counted, so
that one which kills every worker that hears it does not go round for ever.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from inference.shell import one_line
from inference.workers import Failure, Outcome, Work, WorkerError, begun, check_answer, done

# How often a recording is begun at most: more often than on one machine, since machines come and go.
TRIES = 4
# Tasks handed out for each slot of the cluster: one that runs and one that waits.
AHEAD = 2
# Seconds without news after which to look whether the cluster still has machines.
LOOK_AFTER = 5.0


class RayCluster:
    """The slots of a cluster that is running.

    Args:
        address: `HOST:PORT` of its head, or `auto` for the one that this machine belongs to.
        cores: Cores that an item takes.
    """

    def __init__(self, address: str, *, cores: int = 1):
        if importlib.util.find_spec("ray") is None:
            raise WorkerError("Ray is not installed: pip install 'saywave[ray]'")
        self._address = address
        self._cores = max(1, cores)

    def run(
        self, begin: Callable[[], Work], items: Sequence[Any], tell: Callable[[Any, float], None]
    ) -> Iterator[Outcome]:
        """As `Pool` says; how far an item is shows when it is done."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            _answers(self._address)
            ray.init(address=self._address, log_to_driver=False, logging_level="ERROR")
        except (OSError, ValueError, RuntimeError) as error:
            raise WorkerError(
                f"no Ray cluster at {self._address}: {one_line(error)[:200]}; start one with "
                "`ray start --head --disable-usage-stats`"
            ) from None
        try:
            task = ray.remote(num_cpus=self._cores, max_retries=0)(_on_ray)
            shared, key = ray.put(begin), secrets.token_hex(8)
            waiting, tries, running = deque(range(len(items))), Counter[int](), {}
            while waiting or running:
                while waiting and len(running) < AHEAD * max(1, self._slots(ray)):
                    number = waiting.popleft()
                    running[task.remote(key, shared, items[number])] = number
                ready, _ = ray.wait(list(running), timeout=LOOK_AFTER)
                if not ready and not self._slots(ray):
                    raise WorkerError(
                        f"the Ray cluster at {self._address} has no machine with {self._cores} cores (left); add one "
                        "and run the same command again"
                    )
                for reference in ready:
                    number = running.pop(reference)
                    tries[number] += 1
                    try:
                        kind, content = ray.get(reference)
                    except RayTaskError as error:
                        raise RuntimeError(f"in a worker:\n{error}") from None
                    except RayError as error:
                        if tries[number] < TRIES:
                            waiting.appendleft(number)
                            continue
                        kind, content = "done", _lost(items[number], error)
                    check_answer(kind, content)
                    yield Outcome(items[number], content)
        finally:
            ray.shutdown()

    def _slots(self, ray) -> int:
        return sum(int(node["Resources"].get("CPU", 0)) // self._cores for node in ray.nodes() if node["Alive"])


def _answers(address: str) -> None:
    """Raise `OSError` where nobody listens at HOST:PORT: Ray would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "://" not in address:
        socket.create_connection((host, int(port)), timeout=LOOK_AFTER).close()


def _lost(item: Any, error: Exception) -> Failure:
    first = next(iter(str(error).splitlines()), "")
    return Failure(f"{item}: its worker was lost {TRIES} times: {type(error).__name__}: {first[:200]}")


# The work of the run that this process serves, by its key: a worker of Ray serves one after the other.
_WORK: dict[str, Work] = {}


def _on_ray(key: str, begin: Callable[[], Work], item: Any) -> tuple[str, Any]:
    """What a worker does with one item."""
    if key not in _WORK:
        work = begun(begin)
        if isinstance(work, Failure):
            return "unfit", work.line
        _WORK.clear()
        _WORK[key] = work
    return done(_WORK[key], item, lambda amount: None)
