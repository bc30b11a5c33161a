import numpy as np
import pytest

from gseg.scenes.shapes import OUTLINES, PARAMETERS, UPRIGHT, ellipse, union


def _grid(side=101, reach=1.6):
    line = np.linspace(-reach, reach, side, dtype=np.float32)
    return np.broadcast_arrays(line[None, None, :], line[None, :, None])


def _parameters(value):
    return [np.full((1, 1, 1), value, dtype=np.float32)] * PARAMETERS


def test_the_distance_to_a_circle_is_exact():
    x, y = _grid()
    distance = ellipse(x, y, (0.2, -0.1), (0.5, 0.5))
    assert distance == pytest.approx(np.hypot(x - 0.2, y + 0.1) - 0.5, abs=1e-5)


def test_a_turned_ellipse_has_its_ends_where_they_belong():
    angle = 0.7
    ends = np.float32([np.cos(angle), np.sin(angle)]) * 0.8
    across = np.float32([-np.sin(angle), np.cos(angle)]) * 0.3
    x, y = (np.stack([ends[i], across[i], 0])[None, None] for i in range(2))
    distance = ellipse(x, y, (0.0, 0.0), (0.8, 0.3), angle)[0, 0]
    assert distance[:2] == pytest.approx(0, abs=1e-6)
    assert distance[2] == pytest.approx(-0.3, abs=1e-6)


def test_a_union_is_never_smaller_than_its_parts():
    x, y = _grid()
    parts = [ellipse(x, y, (-0.4, 0.0), (0.5, 0.3)), ellipse(x, y, (0.4, 0.0), (0.5, 0.3))]
    joined = union(*parts)
    nearest = np.minimum(*parts)
    assert (joined <= nearest + 1e-6).all()
    assert (joined >= nearest - 0.055 * np.log(2) - 1e-6).all()
    hard = union(*parts, softness=1e-4)
    assert hard == pytest.approx(nearest, abs=1e-4)


@pytest.mark.parametrize("name", OUTLINES)
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_outline_is_one_bounded_object(name, value):
    x, y = _grid()
    field = OUTLINES[name](x, y, _parameters(value))
    assert field.shape == (1, 101, 101)
    assert field.dtype == np.float32
    assert np.isfinite(field).all()
    inside = field[0] < 0
    assert 0.03 < inside.mean() < 0.6
    edge = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    assert not edge.any()


def test_a_ring_has_a_hole():
    x, y = _grid()
    field = OUTLINES["ring"](x, y, _parameters(0.5))[0]
    assert field[50, 50] > 0
    assert field.min() < 0


def test_upright_classes_exist():
    assert set(OUTLINES) > UPRIGHT
