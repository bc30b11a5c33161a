"""Trainings as plain data: what an interrupted one left may be damaged."""

import pytest
import torch

from gseg.directions.candidates import load_candidates
from gseg.directions.config import CandidateConfig, LearntConfig
from gseg.pipeline.jobs.train import FitJob, LearnJob, Pairs
from gseg.pipeline.progress import silent
from gseg.segmenters.config import FitConfig
from gseg.segmenters.segmenter import Segmenter
from gseg.storage.manifests import told_doubts

TRAINING = FitConfig(steps=4, batch=4, decay_at=None, width=2, depth=1)
LEARNING = CandidateConfig(kind="learnt", count=2, learnt=LearntConfig(steps=4, batch=4))


class StoppedError(Exception):
    """Ends a training after its second step."""


def stop(stage, done, total, detail=""):
    if done == 2:
        raise StoppedError


def fit_job(folder):
    return FitJob(pairs=(Pairs(count=8),), config=TRAINING, folder=folder, checkpoint_seconds=0.0)


def learn_job(folder):
    return LearnJob(generator="analytic.ellipses32", config=LEARNING, folder=folder)


def weights(folder):
    return Segmenter.load(folder / "segmenter.safetensors").network.state_dict()


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "another's"])
@pytest.mark.parametrize("kind", ["segmenter", "candidates"])
def test_a_damaged_checkpoint_is_put_aside_and_the_training_begins_anew(tmp_path, kind, damage):
    folder, whole = (tmp_path / name / kind / ("0" * 20) for name in ("cut", "whole"))
    make, file = {
        "segmenter": (fit_job, "checkpoint.safetensors"),
        "candidates": (learn_job, "training.pt"),
    }[kind]
    for each in (folder, whole):
        each.mkdir(parents=True)
    make(whole).train(silent)
    with pytest.raises(StoppedError):
        make(folder).train(stop)
    path = folder / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    damaged = {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "flipped": content,
        "another's": b"PK\3\4 something else",
    }[damage]
    path.write_bytes(damaged)
    told_doubts()
    make(folder).train(silent)
    (line,) = told_doubts()
    assert str(path) in line
    aside = tmp_path / "cut" / "damaged" / f"{kind}-{folder.name}-0" / file
    assert aside.read_bytes() == damaged
    if kind == "candidates":
        assert torch.equal(load_candidates(folder), load_candidates(whole))
    else:
        first, second = weights(folder), weights(whole)
        assert all(torch.equal(first[name], second[name]) for name in second)
