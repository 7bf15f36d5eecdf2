"""What streams want decoded: each gets what its decoder says, from a pool as alone, and only itself its errors."""

from __future__ import annotations

import numpy as np
import pytest

from inference import stream_pool
from inference.beam import BeamDecoder
from inference.ctc import Emission, GreedyDecoder, ScoresError
from inference.decoding import Decoding, decode
from inference.scorer import Scored, Steps, Window, run
from inference.stream_pool import PoolError, StreamPool

V = 4


class Given:
    """A scorer that takes the frames for the scores."""

    stream_axes = ()

    def __call__(self, frames_BTF: np.ndarray, lengths_B: np.ndarray, **_) -> Scored:
        return Scored(frames_BTF, lengths_B, ())

    def padded(self, items: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        lengths_B = np.array([len(frames_TF) for frames_TF in items])
        return np.stack([np.pad(one, ((0, lengths_B.max() - len(one)), (0, 0))) for one in items]), lengths_B


class Decoded:
    """A session that tells emissions: those of a window, and those that it would tell if this were the end."""

    def __init__(self, scorer: Given, decoder):
        self.scorer, self.decoder, self.seconds = scorer, decoder, 0.0

    def pushing(self, frames_TF: np.ndarray) -> Steps[list[Emission]]:
        self.seconds += len(frames_TF)
        return self._heard(frames_TF)

    def _heard(self, frames_TF: np.ndarray) -> Steps[list[Emission]]:
        scored = yield Window(frames_TF, 1, ())
        (scores_TV,) = scored.scores_BTV
        yield (yield Decoding(self.decoder, scores_TV))
        yield (yield Decoding(self.decoder, scores_TV[::-1], peek=True))

    def flushing(self) -> Steps[list[Emission]]:
        yield self.decoder.flush()


class Failing:
    """A decoder that raises what it is given."""

    def __init__(self, error: BaseException):
        self.error = error

    def push(self, log_probs_TV: np.ndarray) -> list[Emission]:
        raise self.error


def draw(frames: int, seed: int) -> np.ndarray:
    scores_TV = 4 * np.random.default_rng(seed).standard_normal((frames, V))
    return scores_TV - np.logaddexp.reduce(scores_TV, axis=1, keepdims=True)


def test_each_is_answered_as_it_would_answer_alone() -> None:
    kinds = [BeamDecoder, GreedyDecoder, lambda: BeamDecoder(beam=3), BeamDecoder, lambda: Failing(KeyError("no"))]
    (asked, alone) = ([kind() for kind in kinds] for _ in range(2))
    found = decode([Decoding(one, draw(40, seed)) for seed, one in enumerate(asked)])
    assert found[:4] == [one.push(draw(40, seed)) for seed, one in enumerate(alone[:4])]
    assert isinstance(found[4], KeyError)
    found = decode([Decoding(one, draw(20, seed), peek=seed < 3) for seed, one in enumerate(asked[:4])])
    assert found == [*(alone[k].peek(draw(20, k)) for k in range(3)), alone[3].push(draw(20, 3))]
    bad, fine = decode([Decoding(asked[0], np.full((2, V), np.nan)), Decoding(asked[3], draw(9, 1))])
    assert isinstance(bad, ScoresError)
    assert fine == alone[3].push(draw(9, 1))


def test_a_pool_decodes_as_a_stream_alone_also_what_waited_for_a_reader(monkeypatch) -> None:
    monkeypatch.setattr(stream_pool, "UNREAD", 1)
    scorer = Given()
    pool = StreamPool(scorer, backlog=1000.0)
    makes = [BeamDecoder, BeamDecoder, GreedyDecoder]
    sessions = [Decoded(scorer, make()) for make in makes]
    streams = [pool.open(session) for session in sessions]
    told: list[list] = [[] for _ in streams]
    for stream, seed in zip(streams, range(3), strict=True):
        for piece in range(6):
            stream.accept(draw(7 + seed, 10 * seed + piece))
        stream.finish()
    while not all(stream.done for stream in streams):
        pool.step()
        for k, stream in enumerate(streams):
            told[k] += stream.read()
    for seed, make in enumerate(makes):
        alone = Decoded(scorer, make())
        expected = [one for piece in range(6) for one in run(scorer, alone.pushing(draw(7 + seed, 10 * seed + piece)))]
        assert told[seed] + streams[seed].read() == expected + run(scorer, alone.flushing())


def test_an_error_in_decoding_ends_one_stream_and_ctrl_c_those_that_are_decoded() -> None:
    scorer = Given()
    for error, left in ((RuntimeError("broken"), [0, 2]), (KeyboardInterrupt(), [])):
        pool = StreamPool(scorer)
        decoders = [BeamDecoder(), Failing(error), BeamDecoder()]
        streams = [pool.open(Decoded(scorer, decoder)) for decoder in decoders]
        idle = pool.open(Decoded(scorer, BeamDecoder()))
        for seed, stream in enumerate(streams):
            stream.accept(draw(10, seed))
        if left:
            pool.step()
        else:
            with pytest.raises(KeyboardInterrupt):
                pool.step()
        for k, stream in enumerate(streams):
            if k in left:
                assert stream.read() == run(scorer, Decoded(scorer, BeamDecoder()).pushing(draw(10, k)))
                continue
            with pytest.raises(RuntimeError if left else PoolError, match="broken" if left else "was interrupted"):
                stream.read()
        assert not idle.done


class Interrupted(Decoded):
    """A session in which somebody types Ctrl-C as it is told its first emissions."""

    def _heard(self, frames_TF: np.ndarray) -> Steps[list[Emission]]:
        scored = yield Window(frames_TF, 1, ())
        yield Decoding(self.decoder, scored.scores_BTV[0])
        raise KeyboardInterrupt


def test_ctrl_c_between_two_answers_has_nothing_decoded_twice_or_left_undecoded() -> None:
    scorer = Given()
    pool = StreamPool(scorer)
    kinds = (Decoded, Interrupted, Decoded)
    streams = [pool.open(kind(scorer, BeamDecoder())) for kind in kinds]
    for seed, stream in enumerate(streams):
        stream.accept(draw(20, seed))
        stream.finish()
    with pytest.raises(KeyboardInterrupt):
        pool.step()
    first, *others = streams
    pool.step()
    assert first.done, "without anybody who reads"
    alone = Decoded(scorer, BeamDecoder())
    assert first.read() == run(scorer, alone.pushing(draw(20, 0))) + run(scorer, alone.flushing())
    for stream in others:  # decoded, and not told of it
        with pytest.raises(PoolError, match="was interrupted"):
            stream.read()
