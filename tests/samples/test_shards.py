import io
import json
import zlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from gseg.generators.analytic import analytic_generator, known_direction
from gseg.samples.config import SampleConfig, filter_preset
from gseg.samples.draw import draw, draw_shard
from gseg.samples.sets import GrowingSet, first_samples, load_samples, sum_counts
from gseg.samples.shards import DamagedShardError, Shard, ShardFacts, shard_name
from gseg.storage.digests import digest
from gseg.storage.manifests import told_doubts
from gseg.storage.mirror import StorageError, storage_folder

CONFIG = SampleConfig(epsilon=2.0, batch=8, blocks_per_shard=2)


def make(number=0, num_classes=0, config=CONFIG, resolution=9):
    generator = analytic_generator(resolution, num_classes=num_classes)
    vector = known_direction(generator)
    return draw_shard(generator, SimpleNamespace(lighter=vector, darker=-vector), config, number)


def same(first, second):
    assert first.number == second.number
    for name in ("indices", "pictures", "masks"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert (first.labels is None) == (second.labels is None)
    if first.labels is not None:
        assert torch.equal(first.labels, second.labels)
    assert first.statistics.keys() == second.statistics.keys()
    for name, values in first.statistics.items():
        assert values.dtype == second.statistics[name].dtype
        assert torch.equal(values, second.statistics[name])
    assert dict(first.counts) == dict(second.counts)
    assert list(first.counts) == list(second.counts)
    assert dict(first.provenance) == dict(second.provenance)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_a_file_gives_back_the_shard(tmp_path, num_classes):
    shard = make(2, num_classes)
    assert len(shard) > 0
    shard.save(tmp_path / "deep" / shard_name(2))
    same(Shard.load(tmp_path / "deep" / shard_name(2)), shard)


def test_a_shard_without_samples_is_a_shard(tmp_path):
    shard = make(config=replace(CONFIG, filters=replace(CONFIG.filters, max_share=0.0)))
    assert len(shard) == 0
    shard.save(tmp_path / "empty.parquet")
    loaded = Shard.load(tmp_path / "empty.parquet")
    same(loaded, shard)
    assert loaded.pictures.shape == (0, 3, 9, 9)


def test_equal_shards_are_equal_files(tmp_path):
    for name in ("a", "b"):
        make().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pandas_users_see_a_picture_and_its_mask(tmp_path):
    shard = make(resolution=32)
    shard.save(tmp_path / "shard-000000.parquet")
    row = pd.read_parquet(tmp_path / "shard-000000.parquet").iloc[0]
    picture = Image.fromarray(np.frombuffer(row.picture, "uint8").reshape(32, 32, 3))
    mask = np.unpackbits(np.frombuffer(row["mask"], "uint8"))[: 32 * 32].reshape(32, 32)
    np.testing.assert_array_equal(np.asarray(picture).transpose(2, 0, 1), shard.pictures[0].numpy())
    np.testing.assert_array_equal(mask.astype(bool), shard.masks[0].numpy())


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / shard_name(0)
    make().save(path)
    before = path.read_bytes()

    def fail(table, where, **options):
        where.write_bytes(b"half of it")
        raise OSError("the plug was pulled")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="plug"):
        make().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / shard_name(0)
    make().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedShardError, match=r"shard-000000\.parquet is no whole shard"):
        Shard.load(path)
    pd.DataFrame({"index": [1]}).to_parquet(path)
    with pytest.raises(DamagedShardError, match="no whole shard"):
        Shard.load(path)
    with pytest.raises(FileNotFoundError):
        Shard.load(tmp_path / "absent.parquet")


def test_the_number_of_rows_is_verified(tmp_path):
    path = tmp_path / shard_name(0)
    shard = make()
    shard.save(path)
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(DamagedShardError, match=f"{len(shard) - 1} rows, expected {len(shard)}"):
        Shard.load(path)


def test_first_samples_stop_reading_when_there_are_enough(tmp_path):
    shards = [make(number) for number in range(3)]
    for shard in shards[:2]:
        shard.save(tmp_path / shard_name(shard.number))
    paths = [tmp_path / shard_name(number) for number in range(100)]
    count = len(shards[0]) + 1
    samples = load_samples(paths, count)
    assert len(samples) == count
    assert torch.equal(samples.pictures[:-1], shards[0].pictures)
    assert torch.equal(samples.pictures[-1], shards[1].pictures[0])
    assert samples.counts == sum_counts(shard.counts for shard in shards[:2])
    assert samples.counts["candidates"] == 32


def test_shards_must_be_in_order_and_belong_together():
    first, second = make(0), make(1)
    with pytest.raises(ValueError, match="Expected shard 0 next, got shard 1"):
        first_samples([second], 1)
    with pytest.raises(ValueError, match="Expected shard 1 next, got shard 0"):
        first_samples([first, first], len(first) + 1)
    other = make(1, config=replace(CONFIG, filters=filter_preset("none")))
    with pytest.raises(ValueError, match="drawn with other settings than shard 0"):
        first_samples([first, other], len(first) + 1)


def test_too_few_samples_are_an_error():
    shard = make()
    with pytest.raises(ValueError, match=f"1 shards hold {len(shard)} accepted samples"):
        first_samples([shard], len(shard) + 1)


def test_pictures_stand_in_the_file_as_documented(tmp_path):
    shard = make(num_classes=3)
    buffer = io.BytesIO()
    make(num_classes=3).save(tmp_path / "x.parquet")
    buffer.write((tmp_path / "x.parquet").read_bytes())
    table = pq.read_table(buffer)
    assert table.column_names[:4] == ["index", "label", "picture", "mask"]
    assert table["label"].to_pylist() == shard.labels.tolist()
    assert len(table["picture"][0].as_py()) == 9 * 9 * 3
    assert len(table["mask"][0].as_py()) == 11  # 81 bits


def test_jpeg_pictures_are_close_small_and_the_same_however_they_are_drawn(tmp_path):
    config = replace(CONFIG, picture_format="jpeg95", blocks_per_shard=1)
    exact, shard = make(resolution=32), make(resolution=32, config=config)
    shard.save(tmp_path / shard_name(0))
    loaded = Shard.load(tmp_path / shard_name(0))
    same(loaded, shard.as_stored())
    count = len(shard)
    assert torch.equal(shard.pictures, exact.pictures[:count])
    error = (loaded.pictures.int() - shard.pictures.int()).abs()
    assert 0 < error.float().mean() < 4
    generator = analytic_generator(32)
    vector = known_direction(generator)
    drawn = draw(generator, SimpleNamespace(lighter=vector, darker=-vector), config, count)
    assert torch.equal(drawn.pictures, loaded.pictures)


def test_users_see_a_jpeg_as_documented(tmp_path):
    shard = make(resolution=32, config=replace(CONFIG, picture_format="jpeg95"))
    shard.save(tmp_path / "shard-000000.parquet")
    row = pd.read_parquet(tmp_path / "shard-000000.parquet").iloc[0]
    picture = Image.open(io.BytesIO(row.picture))
    error = np.asarray(picture, dtype=int).transpose(2, 0, 1) - shard.pictures[0].int().numpy()
    assert abs(error).mean() < 4  # channels in their order


def test_pyarrow_users_see_a_picture(tmp_path):
    shard = make(resolution=32)
    shard.save(tmp_path / "shard-000000.parquet")
    row = pq.read_table(tmp_path / "shard-000000.parquet").slice(0, 1).to_pylist()[0]
    picture = Image.frombytes("RGB", (32, 32), row["picture"])
    np.testing.assert_array_equal(np.asarray(picture).transpose(2, 0, 1), shard.pictures[0].numpy())


def test_the_format_of_pictures_is_part_of_what_samples_are():
    assert digest(CONFIG) != digest(replace(CONFIG, picture_format="jpeg95"))
    with pytest.raises(ValueError, match="Unknown picture format 'png'"):
        replace(CONFIG, picture_format="png")


@pytest.mark.parametrize("picture_format", ["exact", "jpeg95"])
def test_no_flipped_bit_is_taken_for_samples(tmp_path, picture_format):
    shard = make(num_classes=3, config=replace(CONFIG, picture_format=picture_format))
    path = tmp_path / shard_name(0)
    shard.save(path)
    whole, right, found = path.read_bytes(), Shard.load(path), 0
    for position in range(0, len(whole), 37):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        try:
            same(Shard.load(path), right)  # a bit that carries nothing
        except DamagedShardError:
            found += 1
    assert found > len(whole) / 37 / 3  # the rest carries nothing that is read


def test_facts_are_read_without_the_samples(tmp_path):
    shard = make(3)
    path = tmp_path / shard_name(3)
    shard.save(path)
    facts = ShardFacts.read(path)
    assert (facts.number, facts.rows, facts.resolution) == (3, len(shard), 9)
    assert dict(facts.counts) == dict(shard.counts)
    assert dict(facts.provenance) == dict(shard.provenance)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedShardError, match=r"shard-000003\.parquet is no whole shard"):
        ShardFacts.read(path)
    with pytest.raises(FileNotFoundError):
        ShardFacts.read(tmp_path / "absent.parquet")


def test_a_column_by_another_name_is_damage(tmp_path):
    path = tmp_path / shard_name(0)
    make().save(path)
    table = pq.read_table(path)
    names = [name.replace("components", "composents") for name in table.column_names]
    renamed = table.rename_columns(names).replace_schema_metadata(table.schema.metadata)
    pq.write_table(renamed, path)
    with pytest.raises(DamagedShardError, match="composents"):
        Shard.load(path)


def test_a_growing_set_puts_aside_what_is_damaged_so_that_it_is_drawn_again(tmp_path):
    storage, tmp_path = tmp_path, tmp_path / "samples" / HERE
    shards = [make(number) for number in range(3)]
    for shard in shards:
        shard.save(tmp_path / shard_name(shard.number))
    told_doubts()
    whole = GrowingSet(tmp_path, CONFIG.shard_size).update()
    assert len(whole.shards) == 3
    path = tmp_path / shard_name(1)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    known = GrowingSet(tmp_path, CONFIG.shard_size).update()
    assert len(known.shards) == 1
    assert f"{path} is no whole shard" in told_doubts()[0]
    assert not path.exists()
    aside = storage / "damaged" / f"samples-{HERE}-0" / path.name
    assert aside.read_bytes() == content[: len(content) // 2]
    assert known.needs(1, 100)
    make(1).save(path)
    assert path.read_bytes() == content
    assert known.update().counts == whole.counts


def test_facts_of_a_shard_on_an_object_store_need_no_copy_of_it(bucket, tmp_path, monkeypatch):
    here = storage_folder(f"{bucket}/samples")
    shard = make(resolution=96)
    shard.save(here / shard_name(0))
    monkeypatch.setenv("GSEG_CACHE", str(tmp_path))
    there = storage_folder(f"{bucket}/samples")
    known = GrowingSet(there, CONFIG.shard_size).update()
    assert dict(known.counts) == dict(shard.counts)
    assert not there.exists()
    assert not known.needs(0, 100)
    same(Shard.load(there / shard_name(0)), shard)
    assert (there / shard_name(0)).exists()


def test_an_object_store_that_does_not_answer_is_no_damage(bucket, monkeypatch):
    path = storage_folder(f"{bucket}/samples") / shard_name(0)
    make().save(path)
    path.unlink()

    def fail(path, count):
        raise StorageError("no answer")

    monkeypatch.setattr("gseg.samples.shards.read_end", fail)
    with pytest.raises(StorageError):
        GrowingSet(path.parent, CONFIG.shard_size).update()


HERE, THERE = "0123456789abcdef0123", "f" * 20


def without(path, *names):
    """Write a shard again as older versions did, without some of its description."""
    table = pq.read_table(path)
    told = json.loads(table.schema.metadata[b"gseg.samples"])
    text = json.dumps({name: value for name, value in told.items() if name not in names}).encode()
    sums = {b"gseg.samples": text, b"gseg.samples.crc32": f"{zlib.crc32(text):08x}".encode()}
    pq.write_table(table.replace_schema_metadata(sums), path)


def test_a_shard_belongs_to_the_set_whose_folder_it_was_written_to(tmp_path):
    for folder in (HERE, THERE, "mine"):
        for number in range(2):
            make(number).save(tmp_path / folder / shard_name(number))
    path = tmp_path / HERE / shard_name(1)
    assert ShardFacts.read(path).set_name == HERE
    assert ShardFacts.read(tmp_path / "mine" / shard_name(1)).set_name == ""
    (tmp_path / THERE / shard_name(1)).replace(path)
    for read in (Shard.load, ShardFacts.read):
        with pytest.raises(DamagedShardError, match=f"it belongs to the set {THERE}"):
            read(path)
    (tmp_path / HERE / shard_name(0)).replace(path)
    with pytest.raises(DamagedShardError, match="it is shard 0"):
        Shard.load(path)


def test_whoever_copies_a_set_may_rename_its_folder(tmp_path):
    for number in range(2):
        make(number).save(tmp_path / HERE / shard_name(number))
    (tmp_path / HERE).rename(tmp_path / "birds")
    paths = [tmp_path / "birds" / shard_name(number) for number in range(2)]
    assert len(load_samples(paths, 2)) == 2
    paths[1].rename(tmp_path / "birds" / "other.parquet")
    same(Shard.load(tmp_path / "birds" / "other.parquet"), make(1))


def test_another_set_s_shard_is_drawn_again(tmp_path):
    told_doubts()
    for folder in (HERE, THERE):
        make().save(tmp_path / folder / shard_name(0))
    (tmp_path / THERE / shard_name(0)).replace(tmp_path / HERE / shard_name(0))
    assert GrowingSet(tmp_path / HERE, CONFIG.shard_size, read_only=True).update().shards == []
    assert (tmp_path / HERE / shard_name(0)).exists()
    assert GrowingSet(tmp_path / HERE, CONFIG.shard_size).update().shards == []
    assert f"it belongs to the set {THERE}" in told_doubts()[0]
    assert not (tmp_path / HERE / shard_name(0)).exists()


def test_shards_of_older_versions_are_taken_and_counted(tmp_path):
    told_doubts()
    shards = [make(number) for number in range(3)]
    for shard in shards:
        shard.save(tmp_path / HERE / shard_name(shard.number))
    for number in (0, 2):
        without(tmp_path / HERE / shard_name(number), "set", "rows_crc32")
    found = GrowingSet(tmp_path / HERE, CONFIG.shard_size).update()
    same(Shard.load(found.shards[2]), shards[2])
    (line,) = told_doubts()
    assert line.startswith("2 shards do not say which set they belong to: they are of an older ver")


@pytest.mark.parametrize("picture_format", ["exact", "jpeg95"])
def test_rows_of_another_file_are_found_out(tmp_path, picture_format):
    config = replace(CONFIG, filters=filter_preset("none"), picture_format=picture_format)
    for folder, each in ((HERE, config), (THERE, replace(config, seed=1))):
        make(0, num_classes=3, config=each).save(tmp_path / folder / shard_name(0))
    path = tmp_path / HERE / shard_name(0)
    here, there = pq.read_table(path), pq.read_table(tmp_path / THERE / shard_name(0))
    changed = [name for name in here.column_names if not here[name].equals(there[name])]
    assert {"picture", "mask", "label"} <= set(changed)
    for name in changed:
        place = here.schema.get_field_index(name)
        mixed = here.set_column(place, here.schema.field(place), there[name])
        pq.write_table(mixed.replace_schema_metadata(here.schema.metadata), path)
        with pytest.raises(DamagedShardError, match="its rows do not fit the checksum"):
            Shard.load(path)
