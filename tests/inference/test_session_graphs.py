"""Sessions over real graphs: the updates do not depend on the pushes, and are those of the offline form."""

from __future__ import annotations

import random
import runpy
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.blstm import EncoderConfig
from encoders.export import WEIGHTS_FILE, export
from encoders.network import Network
from inference.ctc import greedy
from inference.endpoint import NEVER, EndpointRules
from inference.scorer import Scorer
from inference.session import LabelSession, Update

LABELS, Windows, check_promises, check_segments_stand_alone, run, session = itemgetter(
    "LABELS", "Windows", "check_promises", "check_segments_stand_alone", "run", "session"
)(runpy.run_path(str(Path(__file__).with_name("session_pushes.py"))))


F = 5
HASTY = EndpointRules(after_text=0.08, without_text=0.2, longest=0.4, short_pause=0.03, patience=0.2)


@pytest.fixture(scope="module")
def scorers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Scorer]:
    """Real graphs with random weights that say something and often nothing, by their subsampling."""
    opened = {}
    for subsampling in (1, 3):
        torch.manual_seed(subsampling)
        network = Network(F, LABELS, EncoderConfig(layers=2, hidden_size=8, subsampling=[subsampling])).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(0.6 * torch.randn(parameter.shape))
            network.head.linear.weight.mul_(4)
            network.head.linear.bias[0] = 2.0
        folder = tmp_path_factory.mktemp("graph")
        exported = export(network)
        (folder / "model.onnx").write_bytes(exported.graph)
        (folder / WEIGHTS_FILE).write_bytes(exported.weights)
        opened[subsampling] = Scorer(folder / "model.onnx", subsampling=subsampling)
    return opened


def babble(inputs: int, seed: int) -> np.ndarray:
    """Inputs (S, F) that stay alike for a while."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.standard_normal((inputs // 6 + 1, F)), 6, axis=0)[:inputs].astype(np.float32)


@pytest.mark.parametrize("subsampling", [1, 3])
@pytest.mark.parametrize("rules", [HASTY, NEVER], ids=["hasty", "never"])
@pytest.mark.parametrize("drawn", [44, pytest.param(194, marks=pytest.mark.slow)])
def test_push_patterns_give_equal_updates(scorers: dict[int, Scorer], subsampling: int, rules, drawn: int) -> None:
    inputs = babble(500, seed=3)

    def make() -> LabelSession:
        return session(scorers[subsampling], rules, chunk=12, lookahead=6, shift=2, span=5)

    expected = run(make(), inputs)
    draw = random.Random(subsampling)
    patterns = [[1], [2], [len(inputs) - 1], [24], [23, 25], [0, 3]]
    patterns += [[draw.randint(0, draw.choice((3, 30, 300))) for _ in range(6)] + [1] for _ in range(drawn)]
    hearing = make()
    for sizes in patterns:
        assert run(hearing, inputs, sizes) == expected, sizes
    check_promises(expected)
    check_segments_stand_alone(make, inputs, expected)
    origins = {update.origin for update in expected}
    assert len(origins) > 5 if rules is HASTY else origins == {0}


@pytest.mark.parametrize("subsampling", [1, 3])
def test_without_endpoints_the_final_emissions_are_those_of_the_offline_form(scorers, subsampling: int) -> None:
    inputs = babble(900, seed=5)
    for chunk, lookahead in ((3, 0), (12, 6), (30, 33), (600, 0)):
        hearing = session(scorers[subsampling], NEVER, chunk=chunk, lookahead=lookahead, shift=2, span=5)
        frames_TF = [(windows := Windows(2, 5)).push(inputs), windows.flush()]
        offline = greedy(scorers[subsampling].windowed(frames_TF, chunk=chunk, lookahead=lookahead))
        assert len(offline) > 10
        updates = run(hearing, inputs, [100])
        assert [update.final for update in updates] == [False] * (len(updates) - 1) + [True]
        assert updates[-1] == Update(0, tuple(offline), (), final=True, heard=len(inputs))


@pytest.mark.parametrize("subsampling", [1, 3])
def test_flush_and_reset_leave_a_fresh_session(scorers: dict[int, Scorer], subsampling: int) -> None:
    hearing = session(scorers[subsampling], HASTY, chunk=12, lookahead=6)
    inputs = babble(300, seed=7)
    expected = run(hearing, inputs)
    assert hearing.flush() == []
    assert hearing.flush() == []
    for pushed in (1, 7, 100, 250):
        hearing.push(babble(pushed, seed=8))
        hearing.reset()
        assert hearing.flush() == [], "reset says nothing, and leaves nothing"
        assert run(hearing, inputs) == expected


def test_windows_that_cut_through_a_step_are_refused(scorers: dict[int, Scorer]) -> None:
    for window in ({"chunk": 4, "lookahead": 0}, {"chunk": 0, "lookahead": 0}, {"chunk": 3, "lookahead": 1}):
        with pytest.raises(ValueError, match="multiple of 3"):
            session(scorers[3], NEVER, **window)
