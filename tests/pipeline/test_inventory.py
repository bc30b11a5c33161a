"""What a storage holds, what rows need of it, and what is deleted."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from gseg.pipeline import inventory
from gseg.pipeline.graph import Node
from gseg.pipeline.inventory import KINDS, STAGES, prune, survey
from gseg.pipeline.rows import make_row, merge_rows
from gseg.pipeline.trial import _kinds_of
from gseg.storage.digests import digest
from gseg.storage.leases import lease
from gseg.storage.mirror import names, storage_folder
from gseg.storage.store import Store

DAY = 24 * 3600
RESULTS = (Path("results"),)


@pytest.fixture(autouse=True)
def _apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Made:
    """A storage of small artifacts, and rows of some.

    Attributes:
        root: The storage.
        days: How old what is made next is.
    """

    def __init__(self, root=Path("storage")):
        self.root, self.days = root, 9.0

    def artifact(self, stage, *parents, content=b"", facts=None, **config):
        """Make a finished artifact; gives its name."""

        def build(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "content").write_bytes(content or f"{stage} {config}".encode() * 50)
            return facts or {}

        made = Store(self.root).make(stage, version=1, config=config, parents=parents, build=build)
        return self._aged(made.folder)

    def samples(self, *parents, batch=64, shards=2, **latents):
        """Make a growing set of samples; gives its name."""
        config = {"samples": {"batch": batch, "blocks_per_shard": 8, "latents": latents}}
        folder = self.root / "samples" / digest("samples", 1, config, list(parents))
        folder.mkdir(parents=True)
        (folder / "_about.json").write_text(json.dumps({"config": config, "parents": parents}))
        for number in range(shards):
            (folder / f"shard-{number:06}.parquet").write_bytes(b"shard" * 100)
        return self._aged(folder)

    def trial(self, name, *, samples, row=True, **values):
        """Make a segmenter and its scores, with a row in results; gives their names."""
        segmenter = self.artifact("segmenter", *samples, trial=name)
        scores = self.artifact("scores", segmenter, trial=name)
        if row:
            self.row(name, scores, **values)
        return segmenter, scores

    def row(self, name, scores, folder="sweep", **values):
        told = {
            **{"experiment": name, "benchmark": "scenes", "benchmark_digest": "d"},
            **{"eval_protocol": "text", "metric_profile": "voynov2021", "method": "gan"},
            "generator": "g",
            **values,
        }
        merge_rows(Path("results") / folder, [make_row({**told, "scores": scores})])

    def _aged(self, folder):
        then = time.time() - self.days * DAY
        for path in folder.glob("*"):
            os.utime(path, (then, then))
        return folder.name

    def of(self, state, **how):
        """Give the names of the pieces of a state."""
        found = survey(self.root, RESULTS, **how)
        assert not found.trouble
        return {each.name for each in found.of(state)}


@pytest.fixture
def made():
    return Made()


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_stage_is_known():
    # Other tests' kinds of nodes are not the package's.
    own = {kind.stage for kind in _kinds_of(Node) if kind.__module__.startswith("gseg.")}
    assert set(STAGES) == own
    assert len(set(KINDS)) == len(KINDS)


def test_what_leads_to_the_scores_of_a_row_is_needed(made):
    direction = made.artifact("direction", "weights", generator="g")
    both = made.samples(direction)
    held_out = made.samples(direction, alpha=1)
    kept = made.trial("kept", samples=(both, held_out))
    own = made.samples(direction, alpha=2)
    gone = made.trial("gone", samples=(both, own), row=False)
    assert made.of("needed") == {direction, both, held_out, *kept}
    assert made.of("spare") == {own, *gone}


def test_distances_are_known_by_their_values(made):
    stats = [made.artifact("statistics", "p", what=what) for what in "abc"]
    facts = {"value": 12.345678901234567, "protocol": "scenes 32"}
    mine = made.artifact("distance", stats[0], stats[1], facts=facts)
    other = made.artifact("distance", stats[0], stats[2], facts={**facts, "value": 12.3})
    made.trial("a", samples=[made.samples()], fid=facts["value"], fid_protocol="scenes 32")
    assert made.of("needed") >= {mine, *stats[:2]}
    assert made.of("spare") == {other, stats[2]}


def test_rows_that_end_with_directions_need_those_of_their_generators(made):
    candidates = made.artifact("candidates", "weights", generator="g")
    mine = made.artifact("direction", "weights", candidates, generator="g", seed=1)
    other = made.artifact("direction", "weights", generator="h")
    scores = made.artifact("scores", made.artifact("segmenter", made.samples(other)))
    table = pd.DataFrame([{"recipe": "strips", "generator": "g", "experiment": "e"}])
    Path("results/strips").mkdir(parents=True)
    table.to_parquet("results/strips/rows.parquet")
    assert made.of("needed") == {candidates, mine}
    assert made.of("spare") >= {other, scores}
    # A list beside a table names no directions.
    Path("results/worst").mkdir(parents=True)
    pd.DataFrame([{"generator": "h", "iou": 0.5}]).to_parquet("results/worst/rows.parquet")
    assert made.of("needed") == {candidates, mine}


@pytest.mark.parametrize("how", ["embeddings", "segmenter"])
def test_what_a_command_was_given_as_a_file_is_needed_by_its_content(made, how):
    source = made.artifact(how, "own", content=b"a file of the storage" * 9)
    made.artifact(how, "own", what="another")
    whole = Store(made.root).find(how, source)
    content = whole.manifest["files"]["content"]["sha256"][:20]
    if how == "embeddings":
        samples = made.samples(embeddings_digest=content)
    else:
        labeller = {"kind": "segmenter", "digest": content}
        samples = made.artifact("relabelled", made.samples(), labeller=labeller)
    made.trial("a", samples=[samples])
    assert source in made.of("needed")
    assert len(made.of("needed") & {each.name for each in (made.root / how).iterdir()}) == (
        1 if how == "embeddings" else 2  # the trial's own
    )


def test_a_set_whose_batch_did_not_fit_stays_with_the_one_in_its_place(made):
    first, second = (made.samples("d", batch=batch, shards=0) for batch in (64, 32))
    used = made.samples("d", batch=16)
    alone = made.samples("e", shards=0)
    made.trial("a", samples=[used])
    assert made.of("needed") >= {first, second, used}
    assert made.of("spare") == {alone}


def test_the_young_stay_with_what_they_were_made_from(made):
    made.trial("a", samples=[made.samples("old")])
    base = made.samples("base")
    made.days = 0.5
    young = made.artifact("segmenter", base, what="young")
    assert made.of("recent") == {base, young}
    assert made.of("spare", recent=True) == {base, young}


def test_what_is_younger_than_the_last_row_stays(made):
    made.trial("a", samples=[made.samples("old")], finished="2020-01-01T00:00:00Z")
    base = made.samples("base")
    later = made.artifact("segmenter", base, what="of a run that was killed")
    unfinished = made.root / "segmenter" / digest("unfinished")
    unfinished.mkdir()
    (unfinished / "checkpoint.safetensors").write_bytes(b"1")
    made.row("b", made.artifact("scores", "x"), finished="2020-01-01T00:00:00Z")
    assert made.of("recent") == {base, later, unfinished.name}
    made.row("c", made.artifact("scores", "y"))  # today: what is older than a day is of no run
    assert made.of("recent") == {unfinished.name}
    assert made.of("spare") == {base, later}


def test_samples_and_statistics_from_which_nothing_was_made_stay(made):
    made.trial("a", samples=[made.samples("old")])
    direction = made.artifact("direction", "weights", generator="g")
    drawn = made.samples(direction)
    statistics = made.artifact("statistics", "pictures")
    assert made.of("rowless") == {direction, drawn, statistics}
    assert made.of("spare", rowless=True) == {direction, drawn, statistics}


def test_what_is_no_artifact_is_told_apart(made):
    made.trial("a", samples=[made.samples("old")])
    then = time.time() - 2 * DAY
    found = {
        "progress/abc.json": "progress",
        "failures/abc.json": "failures",
        "errors/abc.txt": "errors",
        "damaged/direction-0123-1/direction.json": "damaged",
        f"samples/{digest('x')}/.shard-000000.parquet.0a.part": "leftovers",
        f"samples/{digest('y')}/_shard-000000.cost": "unfinished",
        f".lease.{'0' * 32}": "leftovers",
        "direction/a copy/direction.json": "other",
        "my notes.txt": "other",
        "mine/.film.part": "other",
    }
    for place in found:
        path = made.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, (then, then))
    seen = survey(made.root, RESULTS)
    kinds = Counter(each.kind for each in seen.pieces)
    assert kinds - Counter(found.values()) == {
        "samples": 1,
        "segmenter": 1,
        "scores": 1,
        "builds": 1,
    }
    spare = {each.kind for each in seen.of("spare")}
    assert spare == {"progress", "damaged", "leftovers", "unfinished"}
    prune(made.root, seen.of("spare"))
    left = files(made.root)
    assert {place for place in found if place in left} == {
        *("failures/abc.json", "errors/abc.txt", "direction/a copy/direction.json"),
        *("my notes.txt", "mine/.film.part"),
    }
    assert not [path for path in made.root.rglob("*") if path.is_dir() and not any(path.iterdir())]


def test_folders_behind_links_are_seen(made):
    direction = made.artifact("direction", "weights", generator="g")
    both = made.samples(direction), made.samples(direction, alpha=1)
    kept = made.trial("a", samples=both[:1])
    gone = made.trial("b", samples=both[1:], row=False)
    Path("disk").mkdir()
    (made.root / "samples").rename("disk/samples")
    (made.root / "samples").symlink_to(Path("disk/samples").absolute())
    Path("results/sweep").rename("disk/sweep")
    Path("results/sweep").symlink_to(Path("disk/sweep").absolute())
    Path("disk/samples/loop").symlink_to(Path().absolute())
    (made.root / "nothing").symlink_to("nowhere")
    assert made.of("needed") == {direction, both[0], *kept}
    assert made.of("spare") == {both[1], *gone}
    prune(made.root, survey(made.root, RESULTS).of("spare"))
    assert {each.name for each in Path("disk/samples").iterdir()} == {both[0], "loop"}


# ------------------------------------------------------------------ when nothing can be said


def test_without_rows_nothing_is_to_spare(made):
    made.samples()
    assert survey(made.root, RESULTS).trouble.startswith("There is no folder results")
    Path("results/sweep").mkdir(parents=True)
    found = survey(made.root, RESULTS)
    assert found.trouble.startswith("There are no rows in results")
    assert not found.states


def test_damaged_rows_are_named(made):
    made.trial("a", samples=[made.samples()])
    made.row("b", "s", folder="other")
    path = Path("results/other/rows.parquet")
    for content in (b"", path.read_bytes()[:-100], path.read_bytes()[:500] + b"\0" * 3000):
        path.write_bytes(content)
        found = survey(made.root, RESULTS)
        assert not found.states
        assert str(path) in found.trouble


def test_damaged_rows_that_were_put_aside_are_named(made):
    made.trial("a", samples=[made.samples()])
    aside = Path("results/damaged/other-0/rows.parquet")
    aside.parent.mkdir(parents=True)
    aside.write_bytes(b"PAR1")
    found = survey(made.root, RESULTS)
    assert found.trouble.startswith(f"{aside} was damaged and put aside")
    assert not found.states


def test_rows_that_do_not_name_their_scores_are_refused(made):
    made.trial("a", samples=[made.samples()])
    made.row("b", None, folder="older")
    assert "results/older/rows.parquet has rows that do not name their scores" in (
        survey(made.root, RESULTS).trouble
    )


def test_rows_of_another_storage_are_refused(made):
    made.trial("a", samples=[made.samples()], row=False)
    made.row("a", digest("another"))
    # Baselines are in every storage.
    made.row("constant", made.artifact("scores", trial="baseline"))
    found = survey(made.root, RESULTS)
    assert found.trouble.startswith("None of the 2 rows is of storage")
    assert not found.states


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"config": {}, "parents": []}'])
@pytest.mark.parametrize("stage", ["segmenter", "samples"])
def test_what_is_needed_and_damaged_is_named(made, stage, content):
    made.trial("a", samples=[made.samples()])
    made.trial("b", samples=[made.samples("other")])
    (path,) = list((made.root / stage).glob("*/*.json"))[:1]
    path.write_text(content)
    found = survey(made.root, RESULTS)
    assert found.trouble.startswith(f"{path.parent} is needed, but does not say what it was made")


def test_damage_that_no_row_needs_is_to_spare(made):
    made.trial("a", samples=[made.samples()])
    segmenter, scores = made.trial("b", samples=[], row=False)
    (made.root / "segmenter" / segmenter / "manifest.json").write_text("[")
    made._aged(made.root / "segmenter" / segmenter)
    assert made.of("spare") == {segmenter, scores}


def test_nothing_is_deleted_while_somebody_works(made):
    made.trial("a", samples=[made.samples()])
    with lease(made.root / "samples" / digest("new")):
        found = survey(made.root, RESULTS)
        assert found.states
        assert re.fullmatch(r"A process works in storage/samples/\w{20}: .*", found.trouble)
    assert not survey(made.root, RESULTS).trouble


def test_the_lease_of_the_dead_holds_nothing(made):
    made.trial("a", samples=[made.samples()])
    segmenter, _ = made.trial("b", samples=[], row=False)
    program = "import sys; from gseg.storage.leases import *; from pathlib import Path\n"
    program += "held = lease(Path(sys.argv[1])); held.__enter__(); os._exit(0)"
    folder = made.root / "segmenter" / segmenter
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)
    assert (folder / "lease.json").exists()
    found = survey(made.root, RESULTS)
    assert not found.trouble
    assert len(prune(made.root, found.of("spare"))) == 2
    assert not folder.exists()


# ------------------------------------------------------------------ deleting


def test_deleted_is_what_is_to_spare_and_nothing_else(made):
    made.trial("a", samples=[made.samples()])
    before = files(made.root)
    gone = [made.samples("b")]
    gone += made.trial("b", samples=gone[:1], row=False)
    found = survey(made.root, RESULTS)
    assert {each.name for each in prune(made.root, found.of("spare"))} == set(gone)
    after = files(made.root)
    assert {k: v for k, v in after.items() if "builds" not in k} == {
        k: v for k, v in before.items() if "builds" not in k
    }
    assert not survey(made.root, RESULTS).of("spare")


def test_who_works_meanwhile_is_left_alone(made):
    made.trial("a", samples=[made.samples()])
    segmenter, scores = made.trial("b", samples=[], row=False)
    found = survey(made.root, RESULTS)
    with lease(made.root / "segmenter" / segmenter):
        assert [each.name for each in prune(made.root, found.of("spare"))] == [scores]
    assert Store(made.root).find("segmenter", segmenter)


def test_interrupted_anywhere_it_leaves_what_the_same_command_deletes(made, monkeypatch):
    made.trial("a", samples=[made.samples()])
    samples = made.samples("b", shards=3)
    made.trial("b", samples=[samples], row=False)
    direct, whole = inventory.discard, Path("whole")
    made.root.rename(whole)
    interrupted = 0
    for stop in range(99):
        shutil.copytree(whole, made.root)
        calls = iter(range(stop))

        def discard(path, calls=calls):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            direct(path)

        spare = survey(made.root, RESULTS).of("spare")
        assert len(spare) == 3
        monkeypatch.setattr(inventory, "discard", discard)
        try:
            prune(made.root, spare)
        except KeyboardInterrupt:
            interrupted += 1
        monkeypatch.setattr(inventory, "discard", direct)
        for manifest in made.root.glob("*/*/manifest.json"):
            listed = json.loads(manifest.read_text())["files"]
            assert all((manifest.parent / name).exists() for name in listed)
        for shard in made.root.glob("samples/*/shard-*"):
            assert (shard.parent / "_about.json").exists()
        rest = survey(made.root, RESULTS).of("spare")
        prune(made.root, rest)
        assert {each.kind for each in survey(made.root, RESULTS).pieces} == {
            *("samples", "segmenter", "scores", "builds")
        }
        assert len(list(made.root.glob("s*/*/"))) == 3
        shutil.rmtree(made.root)
        if interrupted <= stop:
            break
    assert interrupted > 8


def test_a_waiting_process_makes_anew_what_was_deleted(made):
    """Its lease is given away only after the folder is gone."""
    import threading

    made.trial("a", samples=[made.samples()])
    segmenter, _ = made.trial("b", samples=[], row=False)
    folder, results = made.root / "segmenter" / segmenter, []

    def wait():
        with lease(folder, poll=0.001) as held:
            results.append((held, folder.is_dir()))

    with lease(folder):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        # The waiting one may be there again before the folder itself is removed.
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)
    thread.join(10)
    assert results == [(True, True)]


# ------------------------------------------------------------------ elsewhere


def test_on_an_object_store_it_goes_from_there_and_from_here(bucket):
    made = Made(storage_folder(f"{bucket}/run"))
    kept = made.trial("a", samples=[made.artifact("selection", "x")])
    spare = made.artifact("selection", "y")
    gone = made.trial("b", samples=[spare], row=False)
    before = names(made.root)
    # A machine that has copies of nothing sees the same.
    shutil.rmtree(made.root)
    assert not survey(made.root, RESULTS).copies
    found = survey(made.root, RESULTS, recent=True)
    assert {each.name for each in found.of("spare")} == {spare, *gone}
    assert not made.root.exists()
    assert Store(made.root).find("selection", spare)
    # What is put aside is on this machine alone.
    damaged = made.root / "damaged" / "direction-0123-0" / "direction.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    found = survey(made.root, RESULTS, recent=True)
    assert {each.name for each in found.of("spare")} == {spare, *gone, damaged.parent.name}
    assert found.copies > 0
    prune(made.root, found.of("spare"))
    assert not damaged.exists()
    assert set(names(made.root)) == {
        name for name in before if name.split("/")[1] not in (spare, *gone)
    }
    assert {each.parent.name for each in made.root.glob("*/*/*")} == set()
    assert Store(made.root).find("scores", kept[1])
    with lease(made.root / "segmenter" / gone[0]):
        assert "A process works in s3://" in survey(made.root, RESULTS).trouble
