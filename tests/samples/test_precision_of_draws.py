from types import MappingProxyType

import torch

from gseg.generators import contract
from gseg.generators.catalogue import load_generator
from gseg.generators.contract import ForwardSetting
from gseg.samples.config import SampleConfig, filter_preset
from gseg.samples.draw import draw_shard


class _Along:
    lighter = torch.nn.functional.normalize(torch.ones(64), dim=0)
    darker = -lighter


def test_samples_are_drawn_under_the_table_s_setting(monkeypatch):
    generator = load_generator("ggan.scenes32")
    config = SampleConfig(filters=filter_preset("none"), batch=8, blocks_per_shard=1)
    exact = draw_shard(generator, _Along(), config, 0)
    narrow = MappingProxyType({"cpu": ForwardSetting(precision="bfloat16")})
    monkeypatch.setattr(contract, "SAMPLING", narrow)
    rounded = draw_shard(generator, _Along(), config, 0)
    assert not torch.equal(rounded.pictures, exact.pictures)
    difference = (rounded.pictures.int() - exact.pictures.int()).abs().float().mean()
    assert difference < 3
