"""Latents found on actors."""

from dataclasses import replace

import numpy as np
import pytest

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.generators.encoders import choose_encoder
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.jobs.pictures import PictureSet, embed_job, embed_pictures

pytestmark = pytest.mark.ray


def test_actors_find_what_one_process_finds_and_tell_what_is_wrong(local_ray, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def means(x):\n    return x.mean((2, 3))\n")
    encoder = choose_encoder(f"{file}:means", resolution=32)
    pictures = PictureSet(count=2_300, resolution=32)
    heard = []
    apart = embed_pictures(
        embed_job(pictures, encoder, tmp_path / "apart"),
        RayBackend(Resources(placement="cluster", actors=2)),
        lambda done, total: heard.append((done, total)),
    )
    alone = embed_pictures(
        embed_job(pictures, encoder, tmp_path / "alone"), LocalBackend(), lambda done, total: None
    )
    np.testing.assert_array_equal(apart.latents, alone.latents)
    assert apart.pictures == alone.pictures
    assert heard[-1] == (2_300, 2_300)
    file.write_text("def means(x):\n    return x.mean((2, 3)) / 0\n")
    job = embed_job(pictures, choose_encoder(f"{file}:means", resolution=32), tmp_path / "broken")
    with pytest.raises(ValueError, match="NaN or infinity"):
        embed_pictures(
            job, RayBackend(Resources(placement="cluster", actors=1)), lambda done, total: None
        )


def test_small_sets_start_no_actors(tmp_path):
    encoder = choose_encoder("bigbigan.scenes32-large")
    job = embed_job(PictureSet(count=10_000, resolution=32), encoder, tmp_path)
    assert not Resources().is_large(job.seconds(job.missing()))
    assert Resources().is_large(replace(job, total=1_281_167).seconds(range(1_282)))
