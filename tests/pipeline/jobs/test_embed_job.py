"""Latents of pictures: in parts, from shipped encoders and from functions."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from fake_backend import FakeBackend
from PIL import Image

from gseg.generators.catalogue import find_card
from gseg.generators.encoders import choose_encoder, load_encoder
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.jobs.pictures import PictureSet, embed_job, embed_pictures, save_found
from gseg.pipeline.stages.pictures import EMBEDDINGS, EmbeddingsNode
from gseg.samples.latents import candidates, near_embeddings
from gseg.scenes.pictures import render
from gseg.storage.manifests import told_doubts
from gseg.storage.store import Store

NAME = "bigbigan.scenes32-large"
MEANS = "def means(x):\n    return x.mean((2, 3))\n"


@pytest.fixture
def function(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MEANS)
    return f"{file}:means"


@pytest.fixture
def folder(tmp_path):
    """Five scenes, one of them in a folder below, and one that is twice as wide."""
    place = tmp_path / "pictures"
    (place / "below").mkdir(parents=True)
    pictures = render(range(5)).pictures.permute(0, 2, 3, 1).numpy()
    for number, picture in enumerate(pictures[:4]):
        wide = np.pad(picture, ((0, 0), (16, 16), (0, 0))) if number == 1 else picture
        Image.fromarray(wide).save(place / f"{number}.png")
    Image.fromarray(pictures[4]).save(place / "below" / "4.png")
    return place


def found(job):
    return embed_pictures(job, LocalBackend(), lambda done, total: None)


def test_parts_joined_are_the_encoder_s_latents(tmp_path, monkeypatch):
    monkeypatch.setattr("gseg.pipeline.jobs.pictures.EmbedJob.part_size", 7)
    heard = []
    job = embed_job(PictureSet(count=20, resolution=32), choose_encoder(NAME), tmp_path)
    made = embed_pictures(job, LocalBackend(), lambda done, total: heard.append((done, total)))
    wanted = load_encoder(NAME)(render(range(20)).pictures)
    np.testing.assert_allclose(made.latents, wanted.numpy(), rtol=0, atol=1e-5)
    assert made.pictures == tuple(str(k) for k in range(20))
    assert heard[0] == (0, 20)
    assert heard[-1] == (20, 20)
    assert len(list(job.folder.glob("part-*.npz"))) == 3


def test_functions_of_users_run_exactly_too(tmp_path):
    """Their latents are named so: see `gseg.exactness.device_identity`."""
    file = tmp_path / "mine.py"
    told = "x.new_full((len(x), 2), float(torch.backends.cudnn.allow_tf32))"
    file.write_text(f"import torch\n\n\ndef rounds(x):\n    return {told}\n")
    encoder = choose_encoder(f"{file}:rounds", resolution=32)
    assert torch.backends.cudnn.allow_tf32
    assert not found(embed_job(PictureSet(count=3, resolution=32), encoder, tmp_path)).latents.any()


def test_what_is_there_is_not_made_again(tmp_path, monkeypatch, function):
    monkeypatch.setattr("gseg.pipeline.jobs.pictures.EmbedJob.part_size", 4)
    encoder = choose_encoder(function, resolution=32)
    job = embed_job(PictureSet(count=10, resolution=32), encoder, tmp_path)
    job.alone([1], lambda pictures: None)
    backend = FakeBackend()
    made = embed_pictures(job, backend, lambda done, total: None)
    assert backend.ran == [(job, [0, 2])]
    wanted = render(range(10)).pictures.float().div(127.5).sub(1).mean((2, 3))
    np.testing.assert_allclose(made.latents, wanted.numpy(), atol=1e-5)


def test_a_folder_s_middle_squares_by_name(tmp_path, folder, function):
    encoder = choose_encoder(function, resolution=32)
    made = found(embed_job(PictureSet(folder=folder, resolution=32), encoder, tmp_path / "parts"))
    assert made.pictures == ("0.png", "1.png", "2.png", "3.png", "below/4.png")
    wanted = render(range(5)).pictures.float().div(127.5).sub(1).mean((2, 3))
    np.testing.assert_allclose(made.latents, wanted.numpy(), atol=1e-5)


def test_one_broken_file(tmp_path, folder, function):
    (folder / "2b.jpg").write_bytes(b"no jpeg")
    encoder = choose_encoder(function, resolution=32)
    pictures = PictureSet(folder=folder, resolution=32)
    with pytest.raises(ValueError, match=r"2b\.jpg.*--skip-bad"):
        found(embed_job(pictures, encoder, tmp_path / "parts"))
    made = found(embed_job(pictures, encoder, tmp_path / "parts", skip_bad=True))
    assert made.pictures == ("0.png", "1.png", "2.png", "3.png", "below/4.png")
    assert len(made.skipped) == 1
    assert "2b.jpg" in made.skipped[0]


def test_sampled_latents_are_drawn_from_the_encoder_s_distributions(tmp_path):
    pictures = PictureSet(count=400, resolution=32)
    encoder = choose_encoder(NAME, sampled=True)
    drawn = found(embed_job(pictures, encoder, tmp_path)).latents
    mean, deviation = load_encoder(NAME).distribution(render(range(400)).pictures)
    noise = (drawn - mean.numpy()) / deviation.numpy()
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 0.5
    assert np.unique(noise.round(5)).size > 0.9 * noise.size
    fewer = found(embed_job(PictureSet(count=7, resolution=32), encoder, tmp_path)).latents
    np.testing.assert_allclose(fewer, drawn[:7], atol=1e-5)
    with pytest.raises(ValueError, match="no distribution to draw them from"):
        choose_encoder(f"{__file__}:found", resolution=32, sampled=True)


def test_files_have_the_official_form_and_samples_read_them(tmp_path, folder, function):
    job = embed_job(
        PictureSet(folder=folder, resolution=32), choose_encoder(NAME), tmp_path / "parts"
    )
    made = found(job)
    path = tmp_path / "birds.npy"
    save_found(path, made, job)
    stored = np.load(path, allow_pickle=False)
    assert stored.dtype == np.float32
    assert stored.shape == (5, 64)
    table = pd.read_parquet(tmp_path / "birds.parquet")
    assert list(table.picture) == list(made.pictures)
    np.testing.assert_array_equal(np.stack(table.embedding), stored)
    told = json.loads(pq.read_schema(tmp_path / "birds.parquet").metadata[b"gseg.embeddings"])
    assert (told["generator"], told["encoder"], told["skipped"]) == (NAME, NAME, [])
    z, _ = candidates(find_card(NAME), near_embeddings(path), 3, range(50))
    places = [(stored == latent).all(1).nonzero()[0].tolist() for latent in z.numpy()]
    assert {len(place) for place in places} == {1}
    assert {place[0] for place in places} == set(range(5))


def test_latents_of_another_generator_are_refused(tmp_path):
    job = embed_job(PictureSet(count=3, resolution=32), choose_encoder(NAME), tmp_path / "parts")
    save_found(tmp_path / "e.npy", found(job), job)
    latents = near_embeddings(tmp_path / "e.npy")
    with pytest.raises(ValueError, match=r"latents of bigbigan\.scenes32-large.*sngan\.scenes32"):
        candidates(find_card("sngan.scenes32"), latents, 0, [0])
    np.save(tmp_path / "wide.npy", np.zeros((4, 120), dtype=np.float32))
    with pytest.raises(ValueError, match="width 120"):
        candidates(find_card(NAME), near_embeddings(tmp_path / "wide.npy"), 0, [0])


def test_encoders_that_do_not_fit(function, folder, tmp_path):
    with pytest.raises(ValueError, match=r"no latents of sngan\.scenes32"):
        choose_encoder(NAME, find_card("sngan.scenes32"))
    with pytest.raises(ValueError, match="No encoder ships for 'sngan"):
        choose_encoder("sngan.scenes32")
    with pytest.raises(ValueError, match="What size of pictures"):
        choose_encoder(function)
    encoder = choose_encoder(function, find_card("sngan.scenes32"))
    with pytest.raises(ValueError, match=r"gave a tensor \(5, 3\), expected latents of sngan"):
        found(embed_job(PictureSet(folder=folder, resolution=32), encoder, tmp_path / "parts"))
    (tmp_path / "mine.py").write_text("def means(x):\n    return x.mean((2, 3)).log()\n")
    encoder = choose_encoder(function, resolution=32)
    with pytest.raises(ValueError, match="NaN or infinity"):
        found(embed_job(PictureSet(folder=folder, resolution=32), encoder, tmp_path / "parts"))


def test_the_stage_is_found_again_and_named_by_function_and_pictures(tmp_path, folder, function):
    store = Store(tmp_path / "storage")
    pictures = PictureSet(folder=folder, resolution=32)

    def make():
        node = EmbeddingsNode(
            pictures=pictures, encoder=choose_encoder(function, resolution=32), device="cpu"
        )
        return Workshop(store, LocalBackend()).make(node)

    made = make()
    assert np.load(made.folder / EMBEDDINGS).shape == (5, 3)
    assert made.facts == {"count": 5, "width": 3, "skipped": []}
    assert make().reused
    (tmp_path / "mine.py").write_text(MEANS + "\n")
    assert make().digest != made.digest


def test_parts_of_other_work_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr("gseg.pipeline.jobs.pictures.EmbedJob.part_size", 7)
    jobs = [
        embed_job(PictureSet(count=count, resolution=32), choose_encoder(NAME), tmp_path)
        for count in (20, 14)
    ]
    for job in jobs:
        found(job)
    older, right = np.load(jobs[0].path(1)), found(jobs[0]).latents
    told_doubts()
    jobs[1].path(0).replace(jobs[0].path(1))
    np.testing.assert_array_equal(found(jobs[0]).latents, right)
    assert f"part-00001.npz is part {jobs[1].folder.name}/0 of other work" in told_doubts()[0]
    kept = {name: older[name] for name in older.files if name != "part"}
    np.savez(jobs[0].path(1), **kept)  # as older versions wrote it
    assert len(found(jobs[0]).latents) == 20
    assert told_doubts()[0].startswith("1 parts of unfinished work do not say of which")
    for part in jobs[0].parts:
        jobs[0].path(part).write_bytes(b"PK no more")
    np.testing.assert_array_equal(found(jobs[0]).latents, right)
    assert f"{jobs[0].path(0)}" in told_doubts()[0]
