"""What every test may use: the place of the real recordings, and a fixed number of threads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The arrays of tests are small: more threads would only wait for each other. Set before anything imports torch, and for
# child processes too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says more about what else the machine does than about the program. The examples are the same
# each time, so that a change is blamed for what it broke alone; `--hypothesis-profile=explore` looks for new ones.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("saywave", calm, derandomize=True)
settings.register_profile("explore", calm, max_examples=500)
settings.load_profile("saywave")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings and landmarks that lies beside the checkout on the project's machines."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder ../shared/data beside the checkout: the real recordings are not here")
    return folder
