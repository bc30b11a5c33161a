"""``gseg samples export``: pictures for another program, and its masks for the samples."""

import torch
from PIL import Image

from gseg.cli import main
from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.picture_files import read_image
from gseg.pipeline.stages.derived import open_labeller
from gseg.samples.config import SampleConfig
from gseg.samples.draw import draw_shard
from gseg.samples.labeller import labeller
from gseg.samples.shards import shard_name

CONFIG = SampleConfig(epsilon=2.0, batch=8, blocks_per_shard=1, seed=5)


def test_masks_of_exported_pictures_come_back_as_labels(tmp_path, capsys):
    generator = analytic_generator(16)
    vector = known_direction(generator)
    direction = Direction(lighter=vector, darker=-vector, provenance={})
    shards = [draw_shard(generator, direction, CONFIG, number) for number in range(2)]
    for shard in shards:
        shard.save(tmp_path / "samples" / shard_name(shard.number))
    assert main(["samples", "export", str(tmp_path / "samples"), "--out", str(tmp_path / "p")]) == 0
    count = sum(len(shard) for shard in shards)
    assert f"{count} pictures in" in capsys.readouterr().out
    files = sorted((tmp_path / "p").iterdir())
    assert len(files) == count
    pictures = torch.cat([shard.pictures for shard in shards])
    assert torch.equal(torch.stack([read_image(file) for file in files]), pictures)
    (tmp_path / "masks").mkdir()
    for file in files:  # another program: bright pixels are foreground
        bright = read_image(file).float().mean(0) > 127
        Image.fromarray(bright.numpy().astype("uint8") * 255).save(tmp_path / "masks" / file.name)
    label = open_labeller(labeller(f"folder:{tmp_path / 'masks'}"), "cpu")
    wanted = pictures.float().mean(1) > 127
    assert torch.equal(torch.cat([label(shard, CONFIG.seed) for shard in shards]), wanted)
