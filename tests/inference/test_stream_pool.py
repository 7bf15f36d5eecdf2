"""Many streams as batches: each is to the bit what it is alone, and none is touched by what becomes of another."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
import torch

from encoders.blstm import EncoderConfig
from encoders.export import WEIGHTS_FILE, export
from encoders.int8 import PRODUCTS, Int8
from encoders.network import Network
from encoders.ranges import input_ranges
from inference import stream_pool
from inference.scorer import Scorer, ScoreStream, Steps
from inference.stream_pool import BacklogError, PooledStream, PoolError, StreamPool

F, V = 5, 4
CHUNK, LOOKAHEAD = 12, 6
SHIFT = 0.01
REFUSED, BROKEN, FATAL = -77.0, 99.0, 55.0
FINISHED = -1
SHAPES = {
    "float32": EncoderConfig(layers=2, hidden_size=40, subsampling=[3]),
    "int8": EncoderConfig(layers=2, hidden_size=40, subsampling=[3]),
    "convolutions": EncoderConfig(layers=2, hidden_size=12, convolution=4, subsampling=[1]),
    "gru": EncoderConfig(layers=2, hidden_size=16, cell="gru", subsampling=[3]),
}


class Scores:
    """A session that tells the scores themselves. Frames that begin with REFUSED it refuses, with BROKEN it breaks."""

    def __init__(self, scorer: Scorer, chunk: int = CHUNK, lookahead: int = LOOKAHEAD):
        self.scorer, self.seconds = scorer, 0.0
        self._stream = ScoreStream(scorer, chunk=scorer.round_up(chunk), lookahead=scorer.round_up(lookahead))

    def pushing(self, frames_TF: np.ndarray) -> Steps[np.ndarray]:
        if len(frames_TF) and frames_TF[0, 0] == REFUSED:
            raise ValueError("refused")
        self.seconds += SHIFT * len(frames_TF)
        return self._heard(np.array(frames_TF))

    def _heard(self, frames_TF: np.ndarray) -> Steps[np.ndarray]:
        if len(frames_TF) and frames_TF[0, 0] == BROKEN:
            raise RuntimeError("broken")
        yield from self._stream.pushing(frames_TF)

    def flushing(self) -> Steps[np.ndarray]:
        return self._stream.flushing()


class Picky:
    """A scorer that fails where a batch has a frame of FATAL in it."""

    def __init__(self, scorer: Scorer):
        self._scorer = scorer

    def __getattr__(self, name: str):
        return getattr(self._scorer, name)

    def __call__(self, frames_BTF: np.ndarray, *arguments, **more):
        if (frames_BTF == FATAL).any():
            raise RuntimeError("cannot be scored")
        return self._scorer(frames_BTF, *arguments, **more)


@pytest.fixture(scope="module")
def scorers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scorer]:
    opened = {}
    torch.manual_seed(0)
    for name, config in SHAPES.items():
        network = Network(F, V, config).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(0.5 * torch.randn(parameter.shape))
        exported = export(network, Int8(PRODUCTS, input_ranges(network, [draw(300)])) if name == "int8" else None)
        folder = tmp_path_factory.mktemp("graph")
        (folder / "model.onnx").write_bytes(exported.graph)
        (folder / WEIGHTS_FILE).write_bytes(exported.weights)
        opened[name] = Scorer(folder / "model.onnx", subsampling=network.subsampling)
    return opened


@pytest.fixture
def scorer(scorers: dict[str, Scorer]) -> Scorer:
    return scorers["float32"]


def draw(frames: int, seed: int = 0, loud: float = 1.0) -> np.ndarray:
    return loud * np.random.default_rng(seed).standard_normal((frames, F)).astype(np.float32)


def alone(scorer: Scorer, frames_TF: np.ndarray) -> np.ndarray:
    return scorer.windowed([frames_TF], chunk=scorer.round_up(CHUNK), lookahead=scorer.round_up(LOOKAHEAD))


def rest(pool: StreamPool, *streams: PooledStream) -> list[np.ndarray]:
    """What streams say from here to their ends."""
    for stream in streams:
        stream.finish()
    while pool.step():
        pass
    assert all(stream.done for stream in streams)
    return [np.concatenate([np.zeros((0, V), np.float32), *stream.read()]) for stream in streams]


@pytest.mark.parametrize("name", SHAPES)
def test_streams_of_all_phases_that_join_and_leave_are_what_they_are_alone(scorers, name: str) -> None:
    scorer, choose = scorers[name], random.Random(0)
    pool = StreamPool(scorer, streams=9, batch=5)
    todo = [draw(choose.randrange(150), seed, loud=10.0 ** choose.uniform(-2, 2)) for seed in range(40)]
    open_now: list[tuple[PooledStream, np.ndarray, int]] = []
    left, told, sizes = [], {}, set()
    while todo or open_now:
        if todo and len(open_now) < 9 and choose.random() < 0.4:
            open_now.append((pool.open(Scores(scorer)), todo.pop(), 0))
        for k, (stream, frames_TF, done) in enumerate(open_now):
            count = choose.choice([0, 1, 7, 40])
            if FINISHED < done < len(frames_TF):
                stream.accept(frames_TF[done : done + count])
                open_now[k] = (stream, frames_TF, done + count)
                if choose.random() < 0.01:
                    stream.close()
            elif done != FINISHED:
                stream.finish()
                open_now[k] = (stream, frames_TF, FINISHED)
            told.setdefault(stream, []).extend(stream.read())
        sizes.add(len(pool.step()))
        closed = [one for one in open_now if one[0].done]
        left += closed
        open_now = [one for one in open_now if not one[0].done]
    assert sizes >= {2, 3, 4, 5}, "streams were scored together"
    assert len(left) == 40
    cut_short = 0
    for stream, frames_TF, done in left:
        said = np.concatenate([np.zeros((0, V), np.float32), *told[stream], *stream.read()])
        expected = alone(scorer, frames_TF)
        cut_short += done != FINISHED
        np.testing.assert_array_equal(said, expected[: len(said)] if done != FINISHED else expected, strict=True)
    assert 0 < cut_short < 10
    assert len(pool) == 0


def test_the_oldest_window_is_scored_first_and_a_backlog_waits_behind_the_others(scorer) -> None:
    pool = StreamPool(scorer, batch=2)
    first, second, third = (pool.open(Scores(scorer)) for _ in range(3))
    first.accept(draw(10 * CHUNK))
    for stream in (third, second):
        stream.accept(draw(CHUNK + LOOKAHEAD))
    assert pool.step() == [first, third]
    assert pool.step() == [second, first]
    assert pool.step() == [first]
    other = pool.open(Scores(scorer, chunk=2 * CHUNK))
    other.accept(draw(3 * CHUNK))
    third.accept(draw(CHUNK))
    assert pool.step() == [first, third], "windows of one chunk go together"
    assert pool.step() == [other]


def test_what_waits_and_what_nobody_reads_is_bounded(scorer, monkeypatch) -> None:
    monkeypatch.setattr(stream_pool, "UNREAD", 3)
    monkeypatch.setattr(stream_pool, "BLOCKS", 4)
    pool = StreamPool(scorer, streams=2, backlog=1.0)
    stream, other = pool.open(Scores(scorer)), pool.open(Scores(scorer))
    with pytest.raises(PoolError, match="2 streams are open"):
        pool.open(Scores(scorer))
    frames_TF = draw(150)
    stream.accept(frames_TF[:99])
    stream.accept(frames_TF[99:])
    assert stream.waiting == pytest.approx(1.5)
    with pytest.raises(BacklogError, match=r"1\.5 s in 2 blocks wait to be scored, and 1 s in 4 may"):
        stream.accept(frames_TF)
    other.accept(frames_TF[:50])
    for _ in range(3):
        other.accept(frames_TF[:0])
    with pytest.raises(BacklogError, match="in 4 blocks"):
        other.accept(frames_TF[:0])
    while pool.step():
        pass
    assert stream.waiting > 0, "it stands still because nobody reads"
    assert not pool.wait(0.0)
    read = []
    while events := stream.read():
        assert len(events) <= 3
        read += events
        while pool.step():
            pass
    assert stream.waiting == 0
    np.testing.assert_array_equal(np.concatenate([*read, *rest(pool, stream)]), alone(scorer, frames_TF))
    assert pool.open(Scores(scorer)), "its place is free again"


def test_an_error_ends_its_stream_and_no_other(scorer) -> None:
    picky = Picky(scorer)
    pool = StreamPool(picky, streams=6)
    good, refused, broken, fatal, endless = streams = [pool.open(Scores(picky)) for _ in range(5)]
    whole = [draw(40 + k, seed=k) for k in range(5)]
    for stream, frames_TF in zip(streams, whole, strict=True):
        stream.accept(frames_TF)
    with pytest.raises(ValueError, match="refused"):
        refused.accept(np.full((3, F), REFUSED, np.float32))
    broken.accept(np.full((3, F), BROKEN, np.float32))
    fatal.accept(np.full((30, F), FATAL, np.float32))
    endless.accept(np.full((30, F), np.nan, np.float32))
    while pool.step():
        pass
    for stream, message in ((broken, "broken"), (fatal, "cannot be scored"), (endless, "not finite")):
        assert stream.done
        said = stream.read()
        assert said, "what came before the error can be read"
        for call in (stream.read, stream.finish, lambda stream=stream: stream.accept(whole[0])):
            with pytest.raises((RuntimeError, PoolError), match=message):
                call()
        lengths = set()
        for _ in range(3):
            with pytest.raises((RuntimeError, PoolError)) as raised:
                stream.read()
            lengths.add(len(raised.traceback))
        assert len(lengths) == 1, "an error that is raised again and again does not grow"
    assert len(pool) == 2
    for said, frames_TF in zip(rest(pool, good, refused), whole, strict=False):
        np.testing.assert_array_equal(said, alone(scorer, frames_TF))


class Stopped(Picky):
    """A scorer that is asked so many times, when it is to stop, before somebody types Ctrl-C."""

    asked: int | None = None

    def __call__(self, *arguments, **more):
        if self.asked == 0:
            self.asked = None
            raise KeyboardInterrupt
        if self.asked is not None:
            self.asked -= 1
        return super().__call__(*arguments, **more)


def test_an_interrupted_step_can_be_taken_again(scorer) -> None:
    stopped = Stopped(scorer)
    pool = StreamPool(stopped, streams=2)
    stream, left = pool.open(Scores(stopped)), pool.open(Scores(stopped))
    for one in (stream, left):
        one.accept(draw(50))
    stopped.asked = 0
    with pytest.raises(KeyboardInterrupt):
        pool.step()
    left.close()
    assert pool.wait(0.0)
    assert pool.open(Scores(stopped)), "a place is free"
    np.testing.assert_array_equal(rest(pool, stream)[0], alone(scorer, draw(50)))


def test_a_step_that_is_interrupted_between_windows_hears_none_twice(scorer) -> None:
    stopped = Stopped(scorer)
    pool = StreamPool(stopped)
    streams = [pool.open(Scores(stopped)) for _ in range(3)]
    for seed, one in enumerate(streams):
        one.accept(draw(50, seed))
    pool.step()
    pool.open(Scores(stopped)).accept(np.full((30, F), FATAL, np.float32))
    stopped.asked = 3  # together, which fails; the first and the second alone
    with pytest.raises(KeyboardInterrupt):
        pool.step()
    for seed, said in enumerate(rest(pool, *streams)):
        np.testing.assert_array_equal(said, alone(scorer, draw(50, seed)))


def test_a_stream_that_is_interrupted_while_it_is_heard_ends_and_no_other(scorer) -> None:
    class Interrupted(Scores):
        def _heard(self, frames_TF: np.ndarray) -> Steps[np.ndarray]:
            yield from super()._heard(frames_TF[: CHUNK + LOOKAHEAD])
            raise KeyboardInterrupt

    pool = StreamPool(scorer)
    streams = [pool.open(kind(scorer)) for kind in (Scores, Interrupted, Scores)]
    for seed, stream in enumerate(streams):
        stream.accept(draw(50, seed))
    with pytest.raises(KeyboardInterrupt):
        pool.step()
    first, interrupted, last = streams
    assert interrupted.done
    assert len(interrupted.read()) == 1, "what came before"
    with pytest.raises(PoolError, match="interrupted while it was heard"):
        interrupted.read()
    for seed, said in zip((0, 2), rest(pool, first, last), strict=True):
        np.testing.assert_array_equal(said, alone(scorer, draw(50, seed)))


def test_a_stream_may_leave_and_another_come_while_it_is_scored(scorer) -> None:
    class Leaving(Picky):
        def __call__(self, *arguments, **more):
            if not others:
                first.close()
                others.append(pool.open(Scores(leaving)))
                others[0].accept(draw(50, seed=1))
            return super().__call__(*arguments, **more)

    others: list[PooledStream] = []
    leaving = Leaving(scorer)
    pool = StreamPool(leaving, streams=1)
    first = pool.open(Scores(leaving))
    first.accept(draw(30))
    assert pool.step() == [first]
    assert first.read() == []
    np.testing.assert_array_equal(rest(pool, *others)[0], alone(scorer, draw(50, seed=1)))


def test_threads_accept_and_read_while_another_steps(scorer) -> None:
    pool, ended, said = StreamPool(scorer, batch=3, backlog=0.2), threading.Event(), {}

    def serve() -> None:
        while not ended.is_set():
            if pool.wait(0.05):
                pool.step()

    def talk(seed: int) -> None:
        frames_TF, told = draw(300, seed), []
        with pool.open(Scores(scorer)) as stream:
            for first in range(0, len(frames_TF), 10):
                while True:
                    try:
                        stream.accept(frames_TF[first : first + 10])
                        break
                    except BacklogError:
                        told += stream.read()
            stream.finish()
            while not stream.done:
                told += stream.read()
            said[seed] = np.concatenate([*told, *stream.read()])

    server = threading.Thread(target=serve)
    talkers = [threading.Thread(target=talk, args=(seed,)) for seed in range(5)]
    for thread in (server, *talkers):
        thread.start()
    for thread in talkers:
        thread.join(timeout=60)
    ended.set()
    server.join(timeout=60)
    for seed in range(5):
        np.testing.assert_array_equal(said[seed], alone(scorer, draw(300, seed)))


def test_misuse_is_told(scorers) -> None:
    pool = StreamPool(scorers["float32"])
    session = Scores(scorers["float32"])
    stream = pool.open(session)
    with pytest.raises(PoolError, match="in use already"):
        pool.open(session)
    session = Scores(scorers["float32"])
    for _ in session.pushing(draw(1)):
        raise AssertionError("no window is full")
    with pytest.raises(PoolError, match="takes a fresh one"):
        pool.open(session)
    with pytest.raises(PoolError, match="of another model"):
        pool.open(Scores(scorers["gru"]))
    assert pool.step() == []
    stream.finish()
    assert stream.done, "of nothing there is nothing to score"
    for call in (stream.finish, lambda: stream.accept(draw(3))):
        with pytest.raises(PoolError, match="finished or closed"):
            call()
    stream.close()
    for settings in ({"streams": 0}, {"batch": 0}, {"backlog": 0.0}):
        with pytest.raises(PoolError, match=next(iter(settings))):
            StreamPool(scorers["float32"], **settings)
