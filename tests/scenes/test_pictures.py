import numpy as np
import pytest
import torch

from gseg.images import from_uint8, luminance
from gseg.scenes import pictures
from gseg.scenes.pictures import CLASS_NAMES, HELD_OUT_FIRST, VALIDATION_FIRST, render
from gseg.scenes.versions import SCENES, VERSIONS


@pytest.fixture(scope="module")
def scenes():
    return render(range(600))


def test_shapes_types_and_classes(scenes):
    assert scenes.pictures.shape == (600, 3, 32, 32)
    assert scenes.pictures.dtype == torch.uint8
    assert scenes.masks.shape == (600, 32, 32)
    assert scenes.masks.dtype == torch.bool
    assert scenes.labels.dtype == torch.int64
    counts = torch.bincount(scenes.labels, minlength=len(CLASS_NAMES))
    assert len(counts) == len(CLASS_NAMES) == 10
    assert counts.min() > 30


def test_a_scene_depends_on_seed_and_index_alone(scenes):
    chosen = [517, 3, 255, 256]
    alone = render(chosen)
    assert torch.equal(alone.pictures, scenes.pictures[chosen])
    assert torch.equal(alone.masks, scenes.masks[chosen])
    assert torch.equal(alone.labels, scenes.labels[chosen])
    assert not torch.equal(render(chosen, seed=1).pictures, alone.pictures)


def test_chunks_leave_no_seams(scenes, monkeypatch):
    monkeypatch.setattr(pictures, "_CHUNK_PIXELS", 7 * 32 * 32)
    assert torch.equal(render(range(40)).pictures, scenes.pictures[:40])


def test_no_scene_at_all():
    nothing = render([])
    assert nothing.pictures.shape == (0, 3, 32, 32)
    assert nothing.masks.shape == (0, 32, 32)


def test_training_and_held_out_scenes_are_different(scenes):
    keys = {picture.tobytes() for picture in scenes.pictures.numpy()}
    assert len(keys) == 600
    for first in (VALIDATION_FIRST, HELD_OUT_FIRST):
        assert not keys & {p.tobytes() for p in render(range(first, first + 50)).pictures.numpy()}


def test_masks_are_objects_of_a_sensible_share(scenes):
    share = scenes.masks.flatten(1).float().mean(1)
    assert share.min() > 0.01
    assert share.max() < 0.8
    assert 0.12 < share.median() < 0.28
    assert scenes.masks[:, 16, 16].float().mean() > 0.4  # near the centre, but not always on it
    assert scenes.masks[:, 0, 0].float().mean() < 0.05


def test_a_mask_follows_the_edges_of_its_object(scenes):
    """Pixels that differ in the mask differ more in colour than their other neighbours."""
    floats = from_uint8(scenes.pictures)
    step = (floats[..., 1:] - floats[..., :-1]).abs().sum(1)
    border = scenes.masks[..., 1:] != scenes.masks[..., :-1]
    assert step[border].mean() > 3 * step[~border].mean()


def test_brightness_does_not_give_the_object_away(scenes):
    values = luminance(from_uint8(scenes.pictures))
    brighter = [
        (value[mask].mean() > value[~mask].mean()).item()
        for value, mask in zip(values, scenes.masks, strict=True)
    ]
    assert 0.4 < np.mean(brighter) < 0.6


def test_chroma_leaves_the_luminance_alone():
    hue = np.linspace(0, 1, 12, dtype=np.float32).reshape(-1, 1, 1)
    colour = pictures._colour(pictures._Tone(np.full_like(hue, 0.5), hue, np.full_like(hue, 0.2)))
    assert colour.shape == (12, 3, 1, 1)
    assert luminance(torch.from_numpy(colour)).ravel().numpy() == pytest.approx(
        0.5 * sum(pictures.LUMINANCE_WEIGHTS), abs=1e-4
    )
    assert np.ptp(colour, axis=1).min() > 0.1


def test_a_finer_picture_shows_the_same_scene(scenes):
    fine = render(range(20), resolution=64)
    assert torch.equal(fine.labels, scenes.labels[:20])
    shrunk = torch.nn.functional.avg_pool2d(fine.masks[:, None].float(), 2)[:, 0] > 0.5
    both, either = shrunk & scenes.masks[:20], shrunk | scenes.masks[:20]
    assert both.sum() / either.sum() > 0.93


def test_versions_differ_in_what_they_say():
    drawn = {name: render(range(300), version=name) for name in VERSIONS}
    usual = drawn[SCENES.name]
    for name, scenes in drawn.items():
        assert torch.equal(scenes.masks, usual.masks)
        assert torch.equal(scenes.pictures, usual.pictures) == (name == SCENES.name)
    steps = {
        name: from_uint8(each.pictures).diff(dim=3).abs().amax((1, 3)).mean()
        for name, each in drawn.items()
    }
    assert steps["scenes2-sharp"] > 1.2 * steps["scenes2"]
    with pytest.raises(ValueError, match="Unknown version of scenes 'scenes2-shrap'; did you mean"):
        render([0], version="scenes2-shrap")


def test_object_and_background_are_driven_apart_by_the_exposure_alone():
    """Without it their brightnesses go together a little: parts have the object's own tone."""
    for name, most, least in (("scenes2-exposure-0", 0.3, 0.1), ("scenes2", -0.3, -0.55)):
        scenes = render(range(1500), version=name)
        values, masks = luminance(from_uint8(scenes.pictures)), scenes.masks
        pairs = [
            (value[mask].mean().item(), value[~mask].mean().item())
            for value, mask in zip(values, masks, strict=True)
        ]
        assert least < np.corrcoef(np.asarray(pairs).T)[0, 1] < most


def test_objects_leave_the_picture_and_colours_are_drawn_alike(scenes):
    edge = torch.ones(32, 32, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert 0.25 < scenes.masks[:, edge].any(1).float().mean() < 0.5
    values = from_uint8(scenes.pictures)
    for channel in range(3):  # of the object's pixels and of others, over all pictures
        on = values[:, channel][scenes.masks]
        off = values[:, channel][~scenes.masks]
        assert abs(on.mean() - off.mean()) < 0.08
        assert 0.7 < on.std() / off.std() < 1.4
