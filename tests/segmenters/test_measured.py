"""Measurements are told while a network is trained, and change nothing."""

from dataclasses import replace

import pytest
import torch

from gseg.pipeline.progress import Watch, silent
from gseg.scenes.pictures import render
from gseg.segmenters.config import FitConfig
from gseg.segmenters.fit import fit_source
from gseg.segmenters.run import Run
from gseg.segmenters.source import InMemoryPairs

_CONFIG = FitConfig(steps=9, batch=4, decay_at=None, width=4, depth=2, validate_every=3)


def _fit(config, **run):
    scenes, held_out = render(range(12), resolution=32), render(range(100, 104), resolution=32)
    source = InMemoryPairs(scenes.pictures, scenes.masks)
    validation = (held_out.pictures, held_out.masks)
    return fit_source(source, config, validation=validation, run=Run(**run))


def test_every_measurement_but_the_last_is_told_when_it_is_made():
    told = []
    result = _fit(_CONFIG, measured=told.append)
    assert [each.step for each in told] == [3, 6]
    assert tuple(told) == result.validation[:2]
    plain = _fit(_CONFIG)
    for key, weights in plain.segmenter.network.state_dict().items():
        assert torch.equal(weights, result.segmenter.network.state_dict()[key])
    assert _fit(replace(_CONFIG, validate_every=0), measured=told.append)
    assert len(told) == 2


def test_who_is_told_may_stop_the_training():
    class Enough(BaseException):
        pass

    def stop(measured):
        raise Enough

    with pytest.raises(Enough):
        _fit(_CONFIG, measured=stop)


def test_a_plain_report_is_no_watch():
    assert not isinstance(silent, Watch)
