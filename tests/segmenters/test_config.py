"""The settings of a training and where they come from."""

from dataclasses import replace

import pytest
import torch

from gseg.segmenters.config import FIT_PRESETS, FitConfig, fit_preset, native_precision


def test_presets_hold_the_published_values():
    paper = fit_preset("paper")
    assert (paper.steps, paper.batch, paper.learning_rate) == (12_000, 95, 1e-3)
    assert (paper.decay_at, paper.decay_factor, paper.width, paper.depth) == (8_000, 0.2, 64, 4)
    assert fit_preset("paper_long") == replace(paper, steps=20_000)
    assert fit_preset("official") == replace(paper, steps=18_000, batch=128, decay_at=None)
    assert all(
        fit_preset(name).precision == "float32" for name in ("paper", "paper_long", "official")
    )
    assert fit_preset("embedded").precision == native_precision("cpu")


def test_learning_rate_falls_once():
    config = FitConfig(steps=9, learning_rate=1.0, decay_at=4, decay_factor=0.5)
    assert [config.learning_rate_at(step) for step in (0, 3, 4, 8)] == [1.0, 1.0, 0.5, 0.5]
    assert replace(config, decay_at=None).learning_rate_at(8) == 1.0


def test_precision_comes_from_the_hardware(monkeypatch):
    for facts, expected in (
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_f": True, "avx512_bf16": False}, "float32"),
        ({}, "float32"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda facts=facts: facts, raising=False)
        assert native_precision("cpu") == expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert native_precision("cpu") == "float32"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert native_precision("cuda") == "bfloat16"  # planned here, trained on another machine
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for capability, expected in (((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        assert native_precision("cuda:0") == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"batch": 1.5}, "batch must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"decay_at": 0}, "decay_at must be"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"decay_factor": 1.5}, "decay_factor in"),
        ({"precision": "float16"}, "precision must be one of float32, bfloat16, got 'float16'"),
        ({"batch": 2, "replicas": 3}, "3 replicas cannot share a batch of 2"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FitConfig(**change)


def test_an_unknown_preset_is_told_the_nearest():
    with pytest.raises(ValueError, match=r"'papper'; did you mean 'paper'\? There are paper, "):
        fit_preset("papper")
    assert set(FIT_PRESETS) == {"paper", "paper_long", "official", "embedded"}
