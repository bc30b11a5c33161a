"""The stage that draws samples: what it leaves, shares, refuses and takes up again."""

import json
import logging
import math
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from fake_backend import FakeBackend

from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.pipeline.finished import find_origin, load_stored
from gseg.pipeline.graph import Told, Workshop
from gseg.pipeline.jobs import draw as drawing
from gseg.pipeline.jobs.draw import BatchTooLargeError, read_cost
from gseg.pipeline.jobs.draw import cost_file as draw_cost
from gseg.pipeline.progress import silent
from gseg.pipeline.stages.directions import GivenDirection
from gseg.pipeline.stages.samples import first_shards
from gseg.pipeline.trial import samples_node
from gseg.samples.config import FilterConfig, LatentConfig, SampleConfig, filter_preset
from gseg.samples.draw import draw
from gseg.samples.sets import AcceptanceError, load_samples
from gseg.storage.damage import DAMAGED
from gseg.storage.manifests import told_doubts
from gseg.storage.mirror import StorageError
from gseg.storage.store import Store

NAME = "analytic.ellipses16"
CONFIG = SampleConfig(epsilon=2.0, batch=8, blocks_per_shard=2, seed=7)


def make_direction(folder, turn=0.0):
    """The generator's own direction, turned a little."""
    vector = known_direction(analytic_generator(16))
    other = torch.nn.functional.normalize(torch.ones(8), dim=0)
    vector = torch.nn.functional.normalize(vector + turn * other, dim=0)
    made = Direction(lighter=vector, darker=-vector, provenance={})
    path = folder / f"direction-{turn}"
    made.save(path)
    return GivenDirection(given=path)


def sample_set(direction, config, count, device="cpu"):
    return samples_node(NAME, direction, config, count, device)


def make_samples(store, wanted, backend, report=silent, *, together=tuple):
    return Workshop(store, backend, report, together=together).make(wanted)


def name_of(found):
    return found.pairs.shards[0].parent.name


def is_there(store, wanted):
    return Workshop(Store(store.root, read_only=True)).find(wanted) is not None


def loaded(found):
    return load_samples(found.pairs.shards, found.pairs.count)


def same(first, second):
    for name in ("indices", "pictures", "masks"):
        assert torch.equal(getattr(first, name), getattr(second, name))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "storage")


@pytest.fixture
def direction(tmp_path):
    return make_direction(tmp_path)


def plain(direction, config, count, device="cpu"):
    generator = analytic_generator(16).to(device)
    return draw(generator, Direction.load(direction.given), config, count)


def test_the_set_is_what_one_process_draws_and_grows(store, direction):
    for count in (30, 50, 20):
        wanted = sample_set(direction, CONFIG, count)
        backend = FakeBackend()
        found = make_samples(store, wanted, backend)
        same(loaded(found), plain(direction, CONFIG, count))
        assert found.reused == (count == 20)
        assert found.config == CONFIG
    assert backend.ran == []
    assert len(list((store.root / "samples").iterdir())) == 1


def test_no_shard_is_drawn_in_vain(store, direction):
    wanted = sample_set(direction, CONFIG, 100)
    found = make_samples(store, wanted, FakeBackend())
    shards = list((store.root / "samples").glob("*/shard-*.parquet"))
    assert sorted(found.pairs.shards) == sorted(shards)
    few = make_samples(
        store,
        replace(wanted, samples=replace(CONFIG, seed=8), count=1),
        FakeBackend(),
    )
    assert len(few.pairs.shards) == 1
    assert len(list(few.pairs.shards[0].parent.glob("*.parquet"))) == 1


def test_costs_are_counted(store, direction):
    wanted = sample_set(direction, CONFIG, 40)
    found = make_samples(store, wanted, FakeBackend())
    costs = [read_cost(path) for path in found.pairs.shards]
    assert found.seconds == sum(cost["seconds"] for cost in costs) > 0
    candidates = found.counts["candidates"]
    assert candidates < found.forwards <= 2 * candidates
    assert all(map(math.isnan, read_cost(Path("absent.parquet")).values()))


def test_the_folder_of_a_set_opens_as_one_table(store, direction):
    made = make_samples(store, sample_set(direction, CONFIG, 20), FakeBackend())
    table = pd.read_parquet(made.pairs.shards[0].parent)
    assert len(table) == made.counts["accepted"] >= 20


def test_a_set_of_an_older_version_is_the_same(store, direction):
    wanted = sample_set(direction, CONFIG, 20)
    made = make_samples(store, wanted, FakeBackend())
    folder = made.pairs.shards[0].parent
    hidden = list(folder.glob("_*"))
    assert len(hidden) == 1 + len(made.pairs.shards)
    for file in hidden:  # had names that the folder's readers did not pass over
        file.rename(file.with_name(file.name[1:]))
    again = make_samples(store, wanted, FakeBackend())
    assert again.reused
    assert again.seconds == made.seconds
    assert Told.of(store, folder.name, "samples").config["samples"]["seed"] == CONFIG.seed


def siblings(folder, count=30):
    """Sets of the same candidates: other directions, lengths and kinds; and one of others."""
    configs = [CONFIG, replace(CONFIG, mask_kind="both"), replace(CONFIG, epsilon=3.0)]
    return [
        sample_set(make_direction(folder, turn), config, count + 8 * place)
        for place, (config, turn) in enumerate(zip(configs * 2, [0.0] * 3 + [0.1] * 3, strict=True))
    ] + [
        sample_set(make_direction(folder), replace(CONFIG, seed=8), count),
        sample_set(make_direction(folder), replace(CONFIG, filters=FilterConfig(max_share=0.0)), 1),
    ]


def test_sets_of_the_same_candidates_are_drawn_in_one_pass(tmp_path, store, monkeypatch):
    monkeypatch.setattr("gseg.samples.sets._PATIENCE", 64)
    wanted = siblings(tmp_path)
    backend = FakeBackend()
    first = make_samples(store, wanted[0], backend, together=lambda: wanted)
    assert max(len(job.orders) for job, _ in backend.ran) == 7
    backend = FakeBackend()
    found = [make_samples(store, each, backend) for each in wanted[:6]]
    assert backend.ran == []
    assert all(each.reused for each in found)
    for each, there in zip(wanted, found, strict=False):
        same(loaded(there), plain(each.direction, each.samples, each.count))
    # Another store, where each is drawn by itself: the same files, more pictures.
    apart = Store(tmp_path / "apart")
    alone = [make_samples(apart, each, FakeBackend()) for each in wanted[:6]]
    for mine, other in zip(found, alone, strict=True):
        for left, right in zip(mine.pairs.shards, other.pairs.shards, strict=True):
            assert left.read_bytes() == right.read_bytes()
    together, separate = (sum(each.forwards for each in sets) for sets in (found, alone))
    assert together < 0.7 * separate
    assert first.forwards < alone[0].forwards
    # A set with other candidates waits for its own trial, and a hopeless one stops itself alone.
    assert not is_there(store, wanted[6])
    with pytest.raises(AcceptanceError, match="area 60"):
        make_samples(store, wanted[7], FakeBackend())


def test_a_set_that_somebody_else_draws_is_left_to_them(tmp_path, store):
    wanted = siblings(tmp_path)[:2]
    seen = []

    def busy(job, shards):
        if not seen:  # while the first set's lease is held, another trial wants the second
            seen.append(make_samples(store, wanted[1], FakeBackend(), together=lambda: wanted))

    found = make_samples(store, wanted[0], FakeBackend(before=busy), silent)
    same(loaded(found), plain(wanted[0].direction, wanted[0].samples, wanted[0].count))
    same(loaded(seen[0]), plain(wanted[1].direction, wanted[1].samples, wanted[1].count))


def out_of_memory(monkeypatch, fits):
    """Let batches above a size fail."""
    batches = []
    real = drawing.draw_shards

    def limited(generator, requests, shard, **how):
        batches.append((requests[0][1].batch, len(requests)))
        if not fits(requests, shard):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(generator, requests, shard, **how)

    monkeypatch.setattr(drawing, "draw_shards", limited)
    return batches


def test_a_batch_that_does_not_fit_is_halved_under_another_name(
    store, direction, monkeypatch, caplog
):
    batches = out_of_memory(monkeypatch, lambda requests, _: requests[0][1].batch <= 2)
    wanted = sample_set(direction, CONFIG, 20)
    with caplog.at_level(logging.WARNING, "gseg"):
        found = make_samples(store, wanted, FakeBackend())
    smaller = replace(CONFIG, batch=2, blocks_per_shard=8)
    assert found.config == smaller
    assert [batch for batch, _ in batches[:3]] == [8, 4, 2]
    assert len(caplog.records) == 2
    assert "8 candidates at once: drawing 4 at once" in caplog.text
    same(loaded(found), plain(direction, smaller, 20))
    again = FakeBackend()
    assert name_of(make_samples(store, wanted, again)) == name_of(found)
    assert again.ran == []
    asked_for = make_samples(store, replace(wanted, samples=smaller), again)
    assert name_of(asked_for) == name_of(found)


@pytest.mark.parametrize(
    "text",
    [
        *('{"batch": 4, "blocks_per_shard": 5}', '{"batch": 4}', "[]", "{", ""),
        '{"batch": 4, "blocks_per_shard": 4, "set": "00000000000000000000"}',
    ],
)
def test_a_smaller_batch_that_is_not_the_set_s_own_is_put_aside(store, direction, text):
    wanted = sample_set(direction, CONFIG, 20)
    folder = Workshop(store).folder(wanted)
    folder.mkdir(parents=True)
    file = folder / "smaller_batch.json"
    file.write_text(text)
    told_doubts()
    assert not is_there(store, wanted)
    assert file.read_text() == text
    assert f"{file} is damaged, or belongs to other samples" in told_doubts()[0]
    assert make_samples(store, wanted, FakeBackend()).config == CONFIG
    assert (aside(store, folder) / "smaller_batch.json").read_text() == text
    assert f"{file} is damaged, or belongs to other samples" in told_doubts()[0]


def test_a_set_that_has_samples_keeps_its_batch(store, direction):
    wanted = sample_set(direction, CONFIG, 20)
    folder = Workshop(store).folder(wanted)
    told = '{"batch": 4, "blocks_per_shard": 4}'  # as older versions wrote it
    folder.mkdir(parents=True)
    (folder / "smaller_batch.json").write_text(told)
    assert make_samples(store, wanted, FakeBackend()).config.batch == 4
    (folder / "smaller_batch.json").unlink()
    make_samples(store, wanted, FakeBackend())
    (folder / "smaller_batch.json").write_text(told)
    assert make_samples(store, wanted, FakeBackend()).config == CONFIG
    assert not (folder / "smaller_batch.json").exists()


@pytest.mark.parametrize(
    "text", ["", '{"config": {', '{"config": {}, "parents": []}', "[]", "another's", None]
)
def test_what_a_set_says_of_itself_is_written_anew(store, direction, text):
    wanted = sample_set(direction, CONFIG, 20)
    made = make_samples(store, wanted, FakeBackend())
    folder = made.pairs.shards[0].parent
    about = folder / "_about.json"
    whole = about.read_text()
    if text is None:
        about.unlink()
    elif text == "another's":
        other = make_samples(
            store, sample_set(direction, replace(CONFIG, seed=8), 5), FakeBackend()
        )
        shutil.copyfile(other.pairs.shards[0].with_name("_about.json"), about)
    else:
        about.write_text(text)
    told_doubts()
    assert not is_there(store, wanted)  # or nothing would write it
    if text is not None:
        with pytest.raises(FileNotFoundError):
            Told.of(Store(store.root, read_only=True), folder.name, "samples")
        assert f"{about} is damaged, or belongs to other samples." in told_doubts()[0]
    backend = FakeBackend()
    again = make_samples(store, wanted, backend)
    assert (again.reused, backend.ran) == (True, [])
    assert about.read_text() == whole
    assert is_there(store, wanted)


@pytest.mark.parametrize("read", ["training", "showing", "of a storage"])
def test_a_flipped_byte_in_a_finished_shard_heals_when_it_is_read(store, direction, read):
    """Where its facts are read alone, nobody sees it."""
    made = make_samples(store, sample_set(direction, CONFIG, 20), FakeBackend())
    path = made.pairs.shards[1]
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 4
    path.write_bytes(damaged)
    found = make_samples(store, sample_set(direction, CONFIG, 20), FakeBackend())
    told_doubts()
    if read == "training":
        found.pairs.load()
    elif read == "showing":
        assert sum(len(shard) for shard in first_shards(found.pairs)) == 20
    else:
        assert len(load_stored(path)) > 0
    assert path.read_bytes() == whole
    assert (aside(store, path.parent) / path.name).read_bytes() == damaged
    (line,) = told_doubts()
    assert f"{path} is no whole shard of samples" in line


def aside(store, folder):
    (found,) = (store.root / DAMAGED).glob(f"samples-{folder.name}-*")
    return found


def test_costs_of_other_shards_are_not_counted(store, direction):
    found = make_samples(store, sample_set(direction, CONFIG, 40), FakeBackend())
    first, second = (draw_cost(path) for path in found.pairs.shards[:2])
    told = json.loads(first.read_text())
    older = {name: told[name] for name in ("seconds", "forwards")}
    first.write_text(json.dumps(older))
    assert read_cost(found.pairs.shards[0]) == older
    wrong = (
        *(second.read_text(), json.dumps({**told, "forwards": 1.0}), "[]", "", "{"),
        '{"seconds": -1.0, "forwards": 3.0}',
    )
    for text in wrong:
        first.write_text(text)
        told_doubts()
        again = make_samples(store, sample_set(direction, CONFIG, 40), FakeBackend())
        assert math.isnan(again.seconds)
        assert math.isnan(again.forwards)
        assert told_doubts()[0].startswith("1 shards have no cost of their own beside them")


@contextmanager
def little_memory(device, monkeypatch):
    """Leave room for some candidates at once; on a card for 24 MiB beside what is there already."""
    if device.type != "cuda":
        with monkeypatch.context() as here:
            out_of_memory(here, lambda requests, _: requests[0][1].batch <= 256)
            yield
        return
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    allowed = torch.cuda.memory_reserved() + 24 * 2**20
    torch.cuda.set_per_process_memory_fraction(allowed / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.gpu
def test_a_device_whose_memory_runs_out_draws_fewer_at_once(
    store, direction, device, monkeypatch, caplog
):
    plain(direction, CONFIG, 1, device)  # what cuBLAS needs once for itself is there from here on
    # Two tensors of this many pictures, 24 MiB each, do not fit.
    config = replace(
        CONFIG, batch=2**13, blocks_per_shard=1, filters=filter_preset("voynov2021_text")
    )
    wanted = sample_set(direction, config, 200, device.type)
    backend = FakeBackend(device.type)
    with little_memory(device, monkeypatch), caplog.at_level(logging.WARNING, "gseg"):
        found = make_samples(store, wanted, backend)
    times = 2 ** len(caplog.records)
    assert times > 1
    smaller = replace(config, batch=config.batch // times, blocks_per_shard=times)
    assert found.config == smaller
    same(loaded(found), plain(direction, smaller, 200, device))


def test_memory_that_runs_out_later_names_the_option(store, direction, monkeypatch):
    out_of_memory(monkeypatch, lambda _, shard: shard < 1)
    wanted = sample_set(direction, CONFIG, 60)
    with pytest.raises(
        BatchTooLargeError, match=r"drawing 8 candidates at once\. Give a smaller --batch"
    ):
        make_samples(store, wanted, FakeBackend())
    assert len(list((store.root / "samples").iterdir())) == 1


def test_a_batch_of_one_cannot_be_halved(store, direction, monkeypatch):
    out_of_memory(monkeypatch, lambda *_: False)
    wanted = sample_set(direction, replace(CONFIG, batch=1), 20)
    with pytest.raises(BatchTooLargeError, match="drawing 1 candidates"):
        make_samples(store, wanted, FakeBackend())


def test_sets_that_do_not_fit_together_are_drawn_alone(tmp_path, store, monkeypatch):
    batches = out_of_memory(monkeypatch, lambda requests, _: len(requests) == 1)
    wanted = siblings(tmp_path)[:3]
    found = make_samples(store, wanted[0], FakeBackend(), together=lambda: wanted)
    assert found.config == CONFIG
    assert batches[:2] == [(8, 3), (8, 1)]


def test_space_is_checked_before_anything_is_drawn(store, direction, monkeypatch):
    room = 65 * 2**20
    monkeypatch.setattr(Store, "free_bytes", lambda _: room)
    few = sample_set(direction, CONFIG, 20)
    make_samples(store, few, FakeBackend())
    many = replace(few, count=10_000)
    backend = FakeBackend()
    with pytest.raises(StorageError, match=r"need 8.2 MiB, and 64 MiB for .* has 65 MiB left"):
        make_samples(store, many, backend)
    assert backend.ran == []


def test_progress_tells_rate_and_acceptance(store, direction):
    heard = []
    wanted = sample_set(direction, CONFIG, 40)
    make_samples(store, wanted, FakeBackend(), lambda *words: heard.append(words))
    assert heard[0] == ("samples", 0, 40, "")
    stage_name, done, total, detail = heard[-1]
    assert (stage_name, done, total) == ("samples", 40, 40)
    counts = plain(direction, CONFIG, 40).counts
    assert detail.startswith(f"{counts['accepted'] / counts['candidates']:.0%} accepted, ")
    assert detail.endswith("/s, 0 s left")


def test_nothing_is_made_in_a_store_for_reading(store, direction):
    wanted = sample_set(direction, CONFIG, 20)
    assert not is_there(store, wanted)
    assert not store.root.exists()
    make_samples(store, replace(wanted, count=10), FakeBackend())
    assert is_there(store, replace(wanted, count=10))
    assert not is_there(store, replace(wanted, count=1_000))


def test_what_shapes_the_samples_names_them(store, direction, tmp_path):
    np.save(tmp_path / "z.npy", np.zeros((3, 8), dtype=np.float32))
    names = set()
    changes = (
        {},
        {"epsilon": 1.5},
        {"seed": 1},
        {"batch": 4},
        {"filters": filter_preset("none")},
        {"latents": LatentConfig(truncation=1.0)},
    )
    for change in changes:
        wanted = sample_set(direction, replace(CONFIG, **change), 1)
        names.add(name_of(make_samples(store, wanted, FakeBackend())))
    assert len(names) == len(changes)
    about = json.loads(next((store.root / "samples").glob("*/_about.json")).read_text())
    assert about["config"]["forward"] == {"precision": "float32", "compiled": False}
    assert SimpleNamespace(**about["config"]).device == "cpu"


def test_samples_of_a_chosen_threshold_are_those_of_the_choice_and_say_so(store, tmp_path):
    direction = make_direction(tmp_path, turn=0.6)
    config = replace(CONFIG, mask_threshold="choose", filters=filter_preset("none"))
    shop, wanted = Workshop(store, FakeBackend()), sample_set(direction, config, 20)
    assert wanted.chosen_threshold(shop) == ""  # not yet
    made = shop.make(wanted)
    chosen = wanted.chosen_threshold(Workshop(store, FakeBackend()))
    assert chosen in ("zero", "otsu")
    same(
        loaded(made),
        loaded(shop.make(sample_set(direction, replace(config, mask_threshold=chosen), 20))),
    )
    assert sample_set(direction, CONFIG, 20).chosen_threshold(shop) == ""
    # Held-out samples have another seed, and the same choice.
    held_out = sample_set(direction, replace(config, seed=8), 20)
    assert shop.name(held_out.direction) == shop.name(wanted.direction)
    assert shop.name(held_out) != shop.name(wanted)
    origin = find_origin(made.pairs.shards[0].parent)
    assert origin.config.mask_threshold == "choose"
    assert Direction.load(origin.direction).provenance["mask_threshold"]["chosen"] == chosen
