"""Choosing among trials without labels: traps lose, and what is measured is what it says."""

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.generators.contract import Generator
from gseg.samples.config import SampleConfig
from gseg.search.choice import TrialEvidence, rank_trials
from gseg.search.evidence import agreement, look, pairwise_agreement, repetition

DRAW = torch.Generator().manual_seed(0)
# Objects: a box of its own size in its own place in each picture.
TRUE = torch.zeros(40, 16, 16, dtype=torch.bool)
for _n in range(len(TRUE)):
    _top, _left, _high, _wide = torch.randint(3, 8, (4,), generator=DRAW).tolist()
    TRUE[_n, _top : _top + _high, _left : _left + _wide] = True
DISC = torch.zeros(16, 16, dtype=torch.bool)
DISC[4:12, 4:12] = True


def noisy(share):
    return TRUE ^ (torch.rand(TRUE.shape, generator=DRAW) < share)


def trial(name, masks, iou=0.8, **more):
    values = {"held_out_iou": iou, "mask_ratio": 0.6, **more.pop("values", {})}
    return TrialEvidence(name=name, values=values, masks=masks, **more)


def some_trials():
    return [trial(f"noise {share}", noisy(share)) for share in (0.3, 0.02, 0.1, 0.2)]


TRAPS = {
    "everything": (trial("everything", torch.ones_like(TRUE), 1.0), "masks are 100% foreground"),
    "nothing": (trial("nothing", torch.zeros_like(TRUE), 1.0), "masks are 0% foreground"),
    "disc": (trial("disc", DISC.expand_as(TRUE), 1.0), "the same whatever the picture"),
    "collapsed": (trial("collapsed", TRUE, 1.0, repetition=0.99), "same few pictures again"),
    "no shift": (trial("no shift", TRUE, 1.0, values={"mask_ratio": 0.99}), "does the same inside"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_traps_lose_and_say_why(name):
    trap, reason = TRAPS[name]
    # Even where they are many, and agree with each other.
    many = [replace(trap, name=f"{name} {k}") for k in range(9)]
    ranked = rank_trials([*many, *some_trials()])
    assert [each.evidence.name for each in ranked[:4]] == [
        *("noise 0.02", "noise 0.1", "noise 0.2", "noise 0.3")
    ]
    assert all(reason in each.objection for each in ranked[4:])
    assert not any(each.objection for each in ranked[:4])
    with pytest.raises(ValueError, match=f"None of 9 trials can be chosen: .*{reason}"):
        rank_trials(many)


def test_held_out_pairs_decide_between_trials_that_agree_alike():
    first, second = noisy(0.05), noisy(0.05)
    ranked = rank_trials([trial("a", first, 0.7), trial("b", second, 0.75)])
    assert [each.evidence.name for each in ranked] == ["b", "a"]
    kappa = agreement(torch.stack([first, second]))
    assert [each.value for each in ranked] == pytest.approx([0.75 * kappa, 0.7 * kappa])
    alone = rank_trials([trial("a", first, 0.7)])
    assert alone[0].value == pytest.approx(0.7)


def test_what_lies_between_right_and_wrong_trials_does_not_win():
    wrong = TRUE.roll(7, dims=-1)
    half = torch.where(torch.arange(len(TRUE))[:, None, None] % 2 == 0, TRUE, wrong)
    flips = [torch.rand(TRUE.shape, generator=DRAW) < 0.03 for _ in range(6)]
    trials = [trial(f"right {k}", TRUE ^ each) for k, each in enumerate(flips[:3])]
    trials += [trial(f"wrong {k}", wrong ^ each) for k, each in enumerate(flips[3:])]
    between = trial("between", half)
    agree = pairwise_agreement([each.masks for each in (between, *trials)]).fill_diagonal_(0)
    assert int(agree.mean(1).argmax()) == 0  # to all it is nearest
    ranked = rank_trials([between, *trials])
    assert ranked[-1].evidence.name == "between"


def test_the_order_of_trials_does_not_matter():
    trials = [*some_trials(), *(trap for trap, _ in TRAPS.values())]
    names = [each.evidence.name for each in rank_trials(trials)]
    assert names == [each.evidence.name for each in rank_trials(trials[::-1])]
    by_ratio = [replace(each, values={"affine_ratio": k / 9}) for k, each in enumerate(trials)]
    assert rank_trials(by_ratio, "affine_ratio")[0].evidence.name == "noise 0.3"


def test_what_was_not_measured_or_is_no_criterion_is_told():
    lacking = [trial("a", noisy(0.1)), replace(trial("b", noisy(0.1)), values={})]
    with pytest.raises(ValueError, match="agreed_iou was not measured for b"):
        rank_trials(lacking)
    assert rank_trials(lacking, "consensus")
    with pytest.raises(ValueError, match="None of 0 trials can be chosen: there are none"):
        rank_trials([])
    for name in ("iou", "stability"):
        with pytest.raises(ValueError, match=re.escape(f"Unknown criterion '{name}'")):
            rank_trials(lacking, name)


def test_pairwise_agreement_is_kappa_with_a_chance_for_each_place():
    masks = [noisy(0.1), noisy(0.4), DISC.expand_as(TRUE), torch.ones_like(TRUE)]
    found = pairwise_agreement(masks)
    for k, one in enumerate(masks):
        for j, other in enumerate(masks):
            observed = (one == other).double().mean()
            q, r = one.double().mean(0), other.double().mean(0)
            chance = (q * r + (1 - q) * (1 - r)).mean()
            wanted = (observed - chance) / (1 - chance) if chance < 1 else 0
            assert float(found[k, j]) == pytest.approx(float(wanted), abs=1e-12)


def test_a_look_sees_what_the_shift_does_and_whether_pictures_repeat():
    generator = analytic_generator()
    vector = known_direction(generator)
    direction = Direction(lighter=vector, darker=-vector)
    seen = look(generator, direction, SampleConfig())
    assert seen.mask_ratio < 0.5
    assert repetition(seen.pictures) < 0.8
    nothing = look(generator, direction, SampleConfig(epsilon=1e-12))
    assert nothing.mask_ratio == 1.0

    class Few(nn.Module):
        """Four pictures, whatever the latent."""

        def forward(self, code, y=None):
            number = (code[:, 0] > 0).long() + 2 * (code[:, 1] > 0).long()
            few = torch.linspace(-1, 1, 4 * code.shape[1]).view(4, -1).to(code)
            return generator.network(few[number], y)

    few = Generator(Few(), generator.card)
    assert repetition(look(few, direction, SampleConfig()).pictures) > 0.99
