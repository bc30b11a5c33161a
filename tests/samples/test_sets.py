"""Which samples are taken."""

import numpy as np
import pytest
import torch

from gseg.samples.sets import nearest, similarities


def test_similarities_equal_a_loop():
    random = np.random.default_rng(0)
    generated, real = random.normal(size=(40, 5)), random.normal(size=(7, 5))
    expected = [
        max(float(g @ r / np.linalg.norm(g) / np.linalg.norm(r)) for r in real) for g in generated
    ]
    found = similarities(torch.from_numpy(generated), torch.from_numpy(real))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert similarities(torch.zeros(1, 5), torch.ones(2, 5)).tolist() == [0]
    assert len(similarities(torch.zeros(0, 5), torch.ones(2, 5))) == 0


def test_the_nearest_keep_their_order_and_ties_go_to_the_first():
    similarity = torch.tensor([0.2, 0.9, 0.5, 0.9, 0.5, 0.5])
    assert nearest(similarity, 4).tolist() == [1, 2, 3, 4]
    assert nearest(similarity, 1).tolist() == [1]
    assert nearest(similarity, 6).tolist() == [0, 1, 2, 3, 4, 5]


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match=r"of one network, got \(4, 3\) and \(2, 5\)"):
        similarities(torch.ones(4, 3), torch.ones(2, 5))
    with pytest.raises(ValueError, match="at least one real picture"):
        similarities(torch.ones(4, 3), torch.ones(0, 3))
    with pytest.raises(ValueError, match=r"'features of real pictures' holds NaN .* row 1 of 2"):
        similarities(torch.ones(4, 3), torch.tensor([[1.0, 1, 1], [1, float("nan"), 1]]))
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"all 4 of the samples, asked for {count}"):
            nearest(torch.ones(4), count)
