"""gseg/scores/batches.py: every protocol against its program, written out; training pairs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from gseg.images import from_uint8
from gseg.metrics.counts import pixel_histogram
from gseg.metrics.profiles import metric_profile
from gseg.metrics.sums import MetricSums
from gseg.scores.batches import (
    begin_mask_size,
    centre_square,
    chosen_pictures,
    shrink_mask,
    shrink_picture,
    square_pairs,
)
from gseg.scores.benchmarks import Example
from gseg.scores.protocol import score

SIZE = 24


class Pictures:
    """Smooth pictures of several shapes, smaller and larger than the working size."""

    name, identity, working_size, skip_bad, bad = "made up", "made up", SIZE, False, ()
    from_files = True
    shapes = ((40, 61), (61, 40), (48, 48), (24, 33), (17, 20), (40, 61), (31, 24))

    def __init__(self, *, crop=False, void=False):
        self.crop, self.void = crop, void

    def __len__(self):
        return len(self.shapes)

    def __getitem__(self, index):
        height, width = self.shapes[index]
        y, x = np.mgrid[:height, :width]
        waves = [128 + 110 * np.sin((x + index) / (5 + c) + y / 6) for c in range(3)]
        picture = torch.from_numpy(np.stack(waves).astype(np.uint8))
        mask = torch.from_numpy((x - width / 2) ** 2 + (y - height / 2) ** 2 < 110)
        scored = torch.from_numpy((x + y) % 5 > 0) if self.void and index % 2 else None
        return Example(id=str(index), picture=picture, mask=mask, scored=scored)


def logit(images):
    """A network of one layer: as peaked as a trained one."""
    return 6 * (images[:, 0] - 0.5 * images[:, 1]) + 2


def predict(images):
    return logit(images).sigmoid()


def square(image):
    """Torchvision's CenterCrop of the shorter side on a Pillow image."""
    side = min(image.size)
    left, top = (round((length - side) / 2.0) for length in image.size)
    return image.crop((left, top, left + side, top + side))


def resized(image, size):
    """Torchvision's Resize of the shorter side on a Pillow image."""
    width, height = image.size
    shorter = min(width, height)
    shape = (int(size * width / shorter), int(size * height / shorter))
    return image.resize(shape, Image.Resampling.BILINEAR)


def as_images(example):
    picture = Image.fromarray(example.picture.permute(1, 2, 0).contiguous().numpy())
    return picture, Image.fromarray(example.mask.numpy().astype(np.uint8) * 255)


def to_tensor(image):
    pixels = torch.from_numpy(np.array(image)).float() / 255
    return pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels[None]


def melas_program(example, *, crop):
    """Logits at the working size, made larger bilinearly, scored at the mask's own size."""
    picture, mask = as_images(example)
    if crop:
        picture, mask = square(picture), square(mask)
    images = (to_tensor(resized(picture, SIZE)) - 0.5)[None] / 0.5
    logits = torch.stack([torch.zeros_like(logit(images)), logit(images)], 1)
    truth = to_tensor(mask) > 0.5
    logits = F.interpolate(logits, truth.shape[-2:], mode="bilinear", align_corners=False)
    return logits.softmax(1)[:, 1], truth


def voynov_program(example, *, crop):
    """Float pictures through bytes to the working size, probabilities through bytes and back."""
    picture, mask = as_images(example)
    image = 2 * to_tensor(picture) - 1
    bytes_ = ((image + 1.0) / 2.0).mul(255).byte().permute(1, 2, 0).numpy()
    height, width = image.shape[1:]
    shape = (SIZE, SIZE * width // height)
    if height > width:
        shape = (SIZE * height // width, SIZE)
    small = Image.fromarray(bytes_).resize(shape[::-1], Image.Resampling.BILINEAR)
    probability = predict(to_tensor(small)[None] * 2.0 - 1.0)
    if probability.shape[1:] != (height, width):
        plane = Image.fromarray(probability[0].mul(255).byte().numpy())
        probability = to_tensor(plane.resize((width, height), Image.Resampling.BILINEAR))
    return probability, to_tensor(mask) >= 0.5


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("program", [melas_program, voynov_program])
@pytest.mark.parametrize("profile", ["melas2022_program", "voynov2021"])
def test_protocols_are_their_programs(program, profile, crop):
    pictures = Pictures(crop=crop)
    found = score(predict, pictures, protocol=program.__name__, profiles=[profile], batch=3)
    sums = MetricSums(profile=metric_profile(profile))
    for index in range(len(pictures)):
        probability, truth = program(pictures[index], crop=crop)
        single = sums.update(pixel_histogram(probability.clamp(0, 1), truth))
        for name in ("accuracy", "iou", "f_beta", "max_f_beta"):
            assert found.table[name][index] == pytest.approx(getattr(single, name)[0], abs=2e-3)
        assert found.table["mae"][index] == pytest.approx(single.mae[0], abs=1e-5)
    assert found.aggregates[profile].iou == pytest.approx(sums.compute().iou, abs=5e-4)
    assert 0.2 < found.aggregates[profile].iou < 0.9


def test_bytes_of_voynovs_pictures_are_cut_off():
    every = torch.arange(256, dtype=torch.uint8).repeat(3, 1)[:, None].expand(3, 256, 256)
    shrunk = shrink_picture(every, 256, "voynov_program")
    lost = every.int() - shrunk.int()
    assert set(lost.unique().tolist()) == {0, 1}
    assert shrink_picture(every, 256, "melas_program") is every


def test_voynovs_probabilities_are_cut_off_to_bytes():
    probability = torch.tensor([[[0.9999, 0.5], [0.5021, 0.1]]])
    there = begin_mask_size(probability, (2, 3), "voynov_program")()
    assert there[0, 0, 0] == 254 / 255
    assert torch.equal(begin_mask_size(probability, (2, 2), "voynov_program")(), probability)


def test_text_scores_at_the_working_size():
    pictures = Pictures(crop=True)
    seen = []

    def watched(images):
        seen.append(tuple(images.shape[2:]))
        return predict(images)

    found = score(watched, pictures, protocol="text", profiles=["voynov2021"])
    assert set(seen) == {(SIZE, SIZE)}
    example = pictures[1]
    small = torch.nn.functional.interpolate(
        example.picture[None, :, 10:50], size=SIZE, mode="bilinear", antialias=True
    )
    truth = shrink_mask(example.mask[10:50], SIZE)  # (61 - 40) / 2 is rounded to the even 10
    sums = MetricSums(profile=metric_profile("voynov2021"))
    single = sums.update(pixel_histogram(predict(from_uint8(small)), truth[None]))
    assert found.table["iou"][1] == single.iou[0]


@pytest.mark.parametrize(("length", "start"), [(25, 2), (27, 4), (26, 3), (20, 0)])
def test_the_square_is_where_torchvision_cuts_it(length, start):
    plane = torch.arange(length).expand(20, length)
    assert centre_square(plane)[0].tolist() == list(range(start, start + 20))
    assert centre_square(plane.T)[:, 0].tolist() == list(range(start, start + 20))


@pytest.mark.parametrize("protocol", ["text", "melas_program", "voynov_program"])
def test_void_pixels_are_not_scored(protocol):
    def wrong_where_void(images):
        return predict(images)

    whole = score(wrong_where_void, Pictures(), protocol=protocol, profiles=["voynov2021"])
    void = score(wrong_where_void, Pictures(void=True), protocol=protocol, profiles=["voynov2021"])
    same = whole.table["iou"] == void.table["iou"]
    assert same[::2].all()
    assert not same[1::2].any()
    if protocol == "melas_program":
        example = Pictures(void=True)[1]
        probability, truth = melas_program(example, crop=False)
        right = ((probability > 0.5) == truth)[0][example.scored].float().mean()
        assert void.table["accuracy"][1] == pytest.approx(float(right), abs=2e-3)
        share = float(example.mask[example.scored].float().mean())
        assert void.table["foreground"][1] == pytest.approx(share)


class Strips:
    """Wide pictures: grey ramps whose middle square is foreground."""

    name = "strips"

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Example:
        ramp = torch.arange(48, dtype=torch.uint8).expand(3, 16, 48) * 5
        mask = torch.zeros(16, 48, dtype=torch.bool)
        mask[:, 16:32] = True
        mask[0, 16] = False
        return Example(id=str(index), picture=ramp, mask=mask)


def test_the_middle_square_is_kept():
    pictures, masks = square_pairs(Strips(), np.array([3, 4]), 16)
    assert pictures.shape == (2, 3, 16, 16)
    assert pictures.dtype == torch.uint8
    assert pictures[0, 0, 0].tolist() == [5 * column for column in range(16, 32)]
    assert masks.dtype == torch.bool
    assert not masks[0, 0, 0]
    assert masks[0].sum() == 255


def test_tall_and_small_pictures_are_resized():
    class Tall(Strips):
        def __getitem__(self, index: int) -> Example:
            wide = super().__getitem__(index)
            return Example(
                id=wide.id, picture=wide.picture.transpose(1, 2), mask=wide.mask.transpose(0, 1)
            )

    pictures, masks = square_pairs(Tall(), np.array([0]), 8)
    assert pictures.shape == (1, 3, 8, 8)
    assert masks.float().mean() > 0.95
    assert (pictures[0, 0].float().diff(dim=0) > 0).all()


def test_chosen_pictures_are_different_and_the_rest_is_held_out():
    first, rest = (chosen_pictures(Strips(), 1, *part) for part in ((0, 7), (7, 5)))
    assert sorted([*first, *rest]) == list(range(12))
    assert first.tolist() != chosen_pictures(Strips(), 2, 0, 7).tolist()
    with pytest.raises(ValueError, match="strips has 12 pictures, asked for 6 after the first 7"):
        chosen_pictures(Strips(), 1, 7, 6)
