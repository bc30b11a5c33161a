import numpy as np
import pytest
import torch

from gseg.directions import Direction
from gseg.reports import direction_cosines, initialisation_cosines


def test_cosines_are_averaged_over_directions_not_trials(frame, seeds):
    rows = frame(
        {"generator": "a.x", "cosine": -0.5, "data_size": 10},
        {"generator": "a.x", "cosine": -0.5, "data_size": 20},
        {"generator": "a.x", "cosine": -0.9, **seeds(1)},
        {"generator": "bigbigan.imagenet128", "cosine": -0.4},
        {"method": "otsu", "generator": None},
    )
    table = direction_cosines(rows).set_index("generator")
    assert table.directions.to_dict() == {"a.x": 2, "bigbigan.imagenet128": 1}
    assert table.cosine["a.x"] == pytest.approx(-0.7)
    assert table.cosine_sd["a.x"] == pytest.approx(np.std([-0.5, -0.9], ddof=1))
    assert table.published["bigbigan.imagenet128"] == -0.4376
    assert np.isnan(table.published["a.x"])


def _save(folder, lighter, darker):
    unit = [torch.tensor(v, dtype=torch.float32) for v in (lighter, darker)]
    lighter, darker = (v / v.norm() for v in unit)
    Direction(lighter=lighter, darker=darker, losses={"lighter_edges": torch.ones(2)}).save(folder)
    return folder


def test_initialisations_are_compared_pair_by_pair(tmp_path):
    angles = (0.0, 0.1, 0.5)
    folders = [
        _save(tmp_path / str(i), [np.cos(a), np.sin(a)], [0.0, 1.0]) for i, a in enumerate(angles)
    ]
    found = initialisation_cosines(folders)
    cosines = np.cos([0.1, 0.5, 0.4])
    assert found.directions == 3
    assert found.lighter == pytest.approx(cosines.mean())
    assert found.lighter_sd == pytest.approx(cosines.std(ddof=1), rel=1e-4)
    assert found.darker == pytest.approx(1)
    assert np.isnan(initialisation_cosines(folders[:2]).lighter_sd)


def test_directions_that_cannot_be_compared_are_refused(tmp_path):
    one = _save(tmp_path / "a", [1.0, 0.0], [0.0, 1.0])
    other = _save(tmp_path / "b", [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    with pytest.raises(ValueError, match=r"codes of \[2, 3\]"):
        initialisation_cosines([one, other])
    with pytest.raises(ValueError, match="got 1 "):
        initialisation_cosines([one])
