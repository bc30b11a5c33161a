"""Trainings killed without warning, and taken up again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from gseg.randomness import uniforms
from gseg.segmenters.checkpoint import read_curve
from gseg.segmenters.config import FitConfig
from gseg.segmenters.fit import Run, fit, fit_source
from gseg.segmenters.pairs import InMemoryPairs

CONFIG = FitConfig(steps=40, batch=4, width=3, depth=2, decay_at=25, validate_every=10)

_PROGRAM = """
import sys, time
from pathlib import Path
from test_kill import CONFIG, noise
from gseg.segmenters.fit import Run, fit_source
from gseg.segmenters.pairs import InMemoryPairs

run = Run(
    checkpoint=Path(sys.argv[1]), checkpoint_seconds=0, progress=lambda *_: time.sleep(0.05)
)
fit_source(InMemoryPairs(*noise(30, 0)), CONFIG, validation=noise(8, 1), run=run)
"""


def noise(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.from_numpy(uniforms(seed, range(count), 4 * 64)).view(count, 4, 8, 8)
    return (values[:, :3] * 255).to(torch.uint8), values[:, 3] > 0.6


def _kill_after(step: int, file: Path) -> None:
    """Train in a process of its own until a step is kept, then kill it as the kernel would."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parents[1])])
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(file)], env=os.environ | {"PYTHONPATH": path}
    )
    try:
        while not (file.exists() and len(read_curve(file)[0]) >= step):
            assert process.poll() is None, "the training ended before it could be killed"
            time.sleep(0.01)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL


def test_a_training_killed_twice_ends_with_the_bits_of_an_undisturbed_one(tmp_path):
    file = tmp_path / "checkpoint.safetensors"
    for step in (5, 17):
        _kill_after(step, file)
    reached = len(read_curve(file)[0])
    assert 17 <= reached < CONFIG.steps
    steps: list[int] = []
    resumed = fit_source(
        InMemoryPairs(*noise(30, 0)),
        CONFIG,
        validation=noise(8, 1),
        run=Run(checkpoint=file, progress=lambda step, _: steps.append(step)),
    )
    assert steps[0] == reached + 1
    whole = fit(*noise(30, 0), CONFIG, validation=noise(8, 1))
    assert torch.equal(whole.losses, resumed.losses)
    assert whole.validation == resumed.validation
    assert whole.foreground_share == resumed.foreground_share
    assert whole.segmenter.digest == resumed.segmenter.digest
