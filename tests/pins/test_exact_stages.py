"""Every stage forbids TensorFloat-32, and leaves PyTorch's switches as they were."""

import re
from types import MappingProxyType

import golden
import pinned
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gseg.generators import contract
from gseg.pipeline.costs import generator_flops
from gseg.pipeline.experiment import Context
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.trial import run_trial

_ROUNDED = re.compile(r"aten\.(_?conv|mkldnn_.*conv|mm|addmm|bmm|baddbmm|linear|mkldnn_linear)")
"""What a GPU may round: convolutions and products, and their backward passes."""


STAGES = ("optimised", "affine", "chosen", "learnt", "pca", "nearest")
"""Trials that go through all stages that run networks."""


class _Watch(TorchDispatchMode):
    """Notes for every operation of a kind whether TensorFloat-32 was allowed."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if _ROUNDED.match(str(func)) and _is_float32(found):
            allowed = torch.backends.cudnn.allow_tf32
            self.seen.setdefault((str(func), self.stage), set()).add(allowed)
        return found


def _is_float32(found):
    values = found if isinstance(found, tuple | list) else [found]
    return any(torch.is_tensor(each) and each.dtype == torch.float32 for each in values)


def test_no_stage_of_any_trial_rounds(tmp_path, monkeypatch):
    exactly = MappingProxyType({"cpu": contract.SAMPLING["cuda"]})
    monkeypatch.setattr(contract, "SAMPLING", exactly)
    assert torch.backends.cudnn.allow_tf32
    generator_flops("ggan.scenes32")  # counts operations on the CPU, once for each process
    watch, kinds = _Watch(), {}
    with pinned.inputs(tmp_path), watch:
        setting = Context(storage=tmp_path / "storage", benchmarks=("scenes:10",))
        watch.stage = "embeddings"
        golden._embed(setting.storage)
        for name in STAGES:
            watch.stage = name
            run_trial(golden.trials()[name], setting, LocalBackend())
    assert torch.backends.cudnn.allow_tf32
    for (kind, stage), allowed in watch.seen.items():
        assert allowed == {False}, f"{kind} in {stage} may round"
        kinds.setdefault(stage, set()).add(kind)
    assert set(kinds) == {"embeddings", *STAGES}
    assert any("backward" in kind for kind in kinds["optimised"])
