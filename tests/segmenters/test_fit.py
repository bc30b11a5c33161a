"""Training: it learns, and nothing but config and pairs decides its bits."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gseg.pipeline.progress import Watch, silent
from gseg.randomness import derive_seed, training_order
from gseg.scenes.pictures import render
from gseg.segmenters.checkpoint import Keeper, read_curve
from gseg.segmenters.config import FitConfig
from gseg.segmenters.fit import FitResult, Run, fit, fit_source
from gseg.segmenters.pairs import InMemoryPairs

SMALL = FitConfig(
    steps=12, batch=6, learning_rate=3e-3, decay_at=8, width=4, depth=2, validate_every=5
)


def discs(count: int, side: int = 16, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Discs on a background of another hue, not of another brightness on the whole."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    cy, cx = rng.uniform(0.3 * side, 0.7 * side, (2, count, 1, 1))
    radius = rng.uniform(0.15 * side, 0.3 * side, (count, 1, 1))
    masks = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
    colours = rng.uniform(0, 120, (count, 3, 1, 1)) + np.array([120, 0, 0]).reshape(3, 1, 1)
    ground = rng.uniform(0, 120, (count, 3, 1, 1)) + np.array([0, 0, 120]).reshape(3, 1, 1)
    pictures = np.where(masks[:, None], colours, ground) + rng.normal(0, 5, (count, 3, side, side))
    return (
        torch.from_numpy(pictures.clip(0, 255).astype(np.uint8)),
        torch.from_numpy(masks),
    )


@pytest.fixture(scope="module")
def pairs() -> tuple[Tensor, Tensor]:
    return discs(20)


def same(first: FitResult, second: FitResult) -> bool:
    return same_weights(first, second) and torch.equal(first.losses, second.losses)


def same_weights(first: FitResult, second: FitResult) -> bool:
    one, other = first.segmenter.network.state_dict(), second.segmenter.network.state_dict()
    return all(torch.equal(one[key], other[key]) for key in one)


def test_it_learns_discs_that_it_has_not_seen():
    config = replace(SMALL, steps=50, decay_at=35, batch=12, width=8, learning_rate=1e-2)
    result = fit(*discs(64), config, validation=discs(32, seed=1))
    assert result.validation_iou > 0.9
    assert result.losses.shape == (50,)
    assert result.losses[-5:].mean() < 0.3 * result.losses[:5].mean()
    pictures, masks = discs(8, seed=2)
    found = result.segmenter.probability(pictures.float() / 127.5 - 1) > 0.5
    assert (found == masks).float().mean() > 0.97


def test_held_out_pairs_are_measured_at_the_stated_steps_and_change_nothing(pairs):
    watched = fit(*pairs, SMALL, validation=discs(7, seed=1))
    assert [measured.step for measured in watched.validation] == [5, 10, 12]
    assert watched.validation_iou == watched.validation[-1].iou
    plain = fit(*pairs, SMALL)
    assert plain.validation == ()
    assert plain.validation_iou is None
    assert same(watched, plain)
    at_end = fit(*pairs, replace(SMALL, validate_every=0), validation=discs(7, seed=1))
    assert at_end.validation == watched.validation[-1:]


def test_held_out_measurements_by_hand(pairs, monkeypatch):
    pictures, masks = discs(5, seed=3)
    monkeypatch.setattr("gseg.segmenters.fit._PIXELS_AT_ONCE", 2 * 16 * 16)  # 2 + 2 + 1
    result = fit(*pairs, SMALL, validation=(pictures, masks))
    probability = result.segmenter.probability(pictures.float() / 127.5 - 1)
    found = probability > 0.5
    by_hand = [
        (f & m).sum().item() / (f | m).sum().item() for f, m in zip(found, masks, strict=True)
    ]
    assert result.validation_iou == pytest.approx(np.mean(by_hand))
    likelihood = torch.where(masks, probability, 1 - probability).double()
    assert result.validation[-1].loss == pytest.approx(-likelihood.log().mean().item(), rel=1e-4)


def test_foreground_share_is_that_of_the_masks_as_often_as_they_were_trained_on(pairs):
    masks = pairs[1]
    seed = derive_seed(SMALL.seed, "order")
    seen = np.concatenate([training_order(seed, k, 6, 20) for k in range(SMALL.steps)])
    expected = masks[torch.from_numpy(seen)].double().mean().item()
    assert fit(*pairs, SMALL).foreground_share == pytest.approx(expected, rel=1e-12)
    whole = fit(*pairs, replace(SMALL, steps=2, batch=20))  # every pair equally often
    assert whole.foreground_share == pytest.approx(masks.double().mean().item(), rel=1e-12)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_bits_whatever_the_global_state(pairs, precision):
    config = replace(SMALL, precision=precision)
    torch.manual_seed(0)
    first = fit(*pairs, config)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    second = fit(*pairs, config)
    assert torch.equal(before, torch.get_rng_state())
    assert same(first, second)
    assert not same(first, fit(*pairs, replace(config, seed=1)))


def test_the_threads_of_the_caller_are_given_back(pairs):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        within = []
        fit(*pairs, SMALL, progress=lambda *_: within.append(torch.get_num_threads()))
        assert set(within) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class KilledError(Exception):
    pass


@pytest.fixture
def repeatable_device(each_device: torch.device) -> Iterator[torch.device]:
    """A device on which the same steps give the same weights twice.

    On a card the gradients of bilinear upsampling and some of cuDNN's of convolutions are sums in
    the order in which threads arrive. PyTorch's deterministic algorithms replace both.
    """
    if each_device.type == "cpu":
        yield each_device
        return
    with warnings.catch_warnings():
        # A warning for what has no deterministic form: the mean of the cross-entropy, which does
        # not enter the gradients. Pooling's windows do not overlap, so the order is nothing to it.
        warnings.simplefilter("ignore")
        torch.use_deterministic_algorithms(True, warn_only=True)
    yield each_device
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("killed_after", [[7], [2, 4, 11]])
@pytest.mark.filterwarnings("ignore:.*deterministic:UserWarning")  # see repeatable_device
def test_a_resumed_training_ends_with_the_same_bits(
    pairs, tmp_path, precision, killed_after, repeatable_device
):
    device = repeatable_device
    config = replace(SMALL, precision=precision)
    held_out = discs(7, seed=1)
    whole = fit(*pairs, config, validation=held_out, device=device)
    file = tmp_path / "training.safetensors"
    seen: list[int] = []
    for last in killed_after:

        def kill(step: int, total: int, last: int = last) -> None:
            seen.append(step)
            if step == last:
                raise KilledError

        with pytest.raises(KilledError):
            fit_source(
                InMemoryPairs(*pairs),
                config,
                validation=held_out,
                run=Run(device=device, checkpoint=file, checkpoint_seconds=0, progress=kill),
            )
    resumed = fit(*pairs, config, validation=held_out, checkpoint=file, device=device)
    assert_same_training(whole, resumed, device)
    assert seen == list(range(1, killed_after[-1] + 1))  # no step was done twice
    again = fit(*pairs, config, validation=held_out, checkpoint=file, progress=kill, device=device)
    assert same(resumed, again)
    assert_same_training(whole, again, device)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def assert_same_training(first: FitResult, second: FitResult, device: torch.device) -> None:
    assert same_weights(first, second)
    assert first.foreground_share == second.foreground_share
    measured = list(zip(first.validation, second.validation, strict=True))
    assert all((one.step, one.iou) == (other.step, other.iou) for one, other in measured)
    # A card adds the cross-entropies of pictures in any order: last bits of what is reported.
    slack = 0.0 if device.type == "cpu" else 1e-5
    torch.testing.assert_close(first.losses, second.losses, rtol=slack, atol=0)
    for one, other in measured:
        assert other.loss == pytest.approx(one.loss, rel=slack, abs=0)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_do_not_wait_for_the_device(pairs, device, steps_without_waiting, precision):
    steps = steps_without_waiting(free=1)  # after the last one the loss is looked at
    fit(*pairs, replace(SMALL, precision=precision), progress=steps, device=device)
    assert steps.done == list(range(1, SMALL.steps + 1))


def test_a_checkpoint_of_another_training_is_refused(pairs, tmp_path):
    file = tmp_path / "training.safetensors"
    fit(*pairs, SMALL, checkpoint=file)
    with pytest.raises(ValueError, match="belongs to another training"):
        fit(*pairs, replace(SMALL, seed=1), checkpoint=file)
    with pytest.raises(ValueError, match="belongs to another training"):
        fit(*discs(21), SMALL, checkpoint=file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"Cannot read training checkpoint .*training"):
        fit(*pairs, SMALL, checkpoint=file)


def test_a_checkpoint_says_of_which_training_it_is(pairs, tmp_path):
    file, source = tmp_path / "training.safetensors", InMemoryPairs(*pairs)
    run = Run(checkpoint=file, name="one")
    whole = fit_source(source, SMALL, run=run)
    # Of the same settings, but on other pairs.
    with pytest.raises(ValueError, match=r"training\.safetensors belongs to another training"):
        fit_source(source, SMALL, run=replace(run, name="other"))
    fit(*pairs, SMALL, checkpoint=file.with_name("older"))  # those of older versions have no name
    older = fit_source(source, SMALL, run=replace(run, checkpoint=file.with_name("older")))
    assert torch.equal(older.losses, whole.losses)


def test_a_checkpoint_whose_weights_have_changed_is_refused(pairs, tmp_path):
    file = tmp_path / "training.safetensors"
    fit(*pairs, SMALL, checkpoint=file)
    content = bytearray(file.read_bytes())
    content[-100] ^= 4
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"training\.safetensors is damaged: delete the file"):
        fit(*pairs, SMALL, checkpoint=file)


def test_a_checkpoint_whose_step_has_changed_is_refused(pairs, tmp_path):
    file = tmp_path / "training.safetensors"
    fit(*pairs, SMALL, checkpoint=file)
    content = file.read_bytes()
    told = b'step\\": 12,'
    assert content.count(told) == 1
    file.write_bytes(content.replace(told, b'step\\": 11,'))
    with pytest.raises(ValueError, match=r"training\.safetensors is damaged"):
        fit(*pairs, SMALL, checkpoint=file)


class Elsewhere:
    """Delivers each pair from its own record, and notes what was asked for."""

    def __init__(self, pictures: Tensor, masks: Tensor) -> None:
        self.records = {k: (pictures[k].clone(), masks[k].clone()) for k in range(len(masks))}
        self.asked: list[list[int]] = []

    @property
    def resolution(self) -> tuple[int, int]:
        return tuple(self.records[0][1].shape)

    def __len__(self) -> int:
        return len(self.records)

    def batch(self, indices):
        self.asked.append(indices.tolist())
        fetched = {k: self.records[k] for k in sorted(indices.tolist())}
        return tuple(torch.stack([fetched[k][part] for k in indices.tolist()]) for part in (0, 1))


def test_who_delivers_the_pairs_changes_nothing(pairs):
    elsewhere = Elsewhere(*pairs)
    assert same(fit(*pairs, SMALL), fit_source(elsewhere, SMALL))
    seed = derive_seed(SMALL.seed, "order")
    assert elsewhere.asked == [
        training_order(seed, step, SMALL.batch, 20).tolist() for step in range(SMALL.steps)
    ]


class Failing(Elsewhere):
    def batch(self, indices):
        if len(self.asked) == 4:
            raise OSError("the disk is gone")
        return super().batch(indices)


def test_a_source_that_fails_ends_the_training_with_its_own_error(pairs):
    done = []
    run = Run(progress=lambda step, _: done.append(step))
    with pytest.raises(OSError, match="the disk is gone"):
        fit_source(Failing(*pairs), SMALL, run=run)
    assert done == [1, 2, 3, 4]


class Frozen(nn.Module):
    """Calls a network without batch statistics, so that parts of a batch can be compared."""

    def __init__(self, network: nn.Module, gradients: dict[str, Tensor]) -> None:
        super().__init__()
        self.network = network
        for name, parameter in network.named_parameters():
            parameter.register_hook(lambda g, name=name: gradients.update({name: g.clone()}))

    def forward(self, images: Tensor) -> Tensor:
        return self.network.eval()(images)


def test_replicas_share_each_step_and_their_mean_gradient_is_that_of_the_whole(pairs):
    config = replace(SMALL, steps=1, batch=5)

    def gradients(config: FitConfig, rank: int) -> tuple[dict[str, Tensor], list[int]]:
        seen: dict[str, Tensor] = {}
        source = Elsewhere(*pairs)
        run = Run(rank=rank, wrap=lambda network: Frozen(network, seen))
        fit_source(source, config, run=run)
        return seen, source.asked[0]

    whole, order = gradients(config, 0)
    shares = [gradients(replace(config, replicas=2), rank) for rank in (0, 1)]
    assert [asked for _, asked in shares] == [order[0::2], order[1::2]]
    for name, gradient in whole.items():
        mean = (shares[0][0][name] + shares[1][0][name]) / 2
        assert torch.allclose(mean, gradient, rtol=1e-3, atol=1e-6)


def test_a_replicated_network_is_kept_under_its_own_names(pairs, tmp_path):
    store = f"file://{tmp_path}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        run = Run(wrap=nn.parallel.DistributedDataParallel)
        replicated = fit_source(InMemoryPairs(*pairs), SMALL, run=run)
    finally:
        torch.distributed.destroy_process_group()
    plain = fit(*pairs, SMALL)
    assert torch.allclose(plain.losses, replicated.losses, atol=1e-4)
    assert list(plain.segmenter.network.state_dict()) == list(
        replicated.segmenter.network.state_dict()
    )


@pytest.mark.parametrize(
    ("change", "run", "message"),
    [
        ({"depth": 5}, Run(), "depth 5 needs pictures of at least 32 x 32 pixels, got 16 x 16"),
        ({"depth": 4, "batch": 1}, Run(), "a batch of 1 over 1 replicas is too small"),
        ({}, Run(rank=1), r"rank must be in \[0, 1\)"),
        ({"replicas": 2}, Run(), "2 replicas need `wrap`"),
    ],
)
def test_what_cannot_work_is_said_before_the_first_step(pairs, change, run, message):
    with pytest.raises(ValueError, match=message):
        fit_source(InMemoryPairs(*pairs), replace(SMALL, **change), run=run)


def test_wrong_pairs_are_explained(pairs):
    pictures, masks = pairs
    with pytest.raises(ValueError, match=r"Pictures must be \(N, 3, H, W\) uint8"):
        fit(pictures.float(), masks, SMALL)
    with pytest.raises(ValueError, match=r"Masks must be \(20, 16, 16\) bool"):
        fit(pictures, masks[:19], SMALL)
    with pytest.raises(ValueError, match="no pairs"):
        fit(pictures[:0], masks[:0], SMALL)
    with pytest.raises(ValueError, match="checkpoint_seconds must be a number of at least 0"):
        Run(checkpoint_seconds=-1)


def test_a_training_that_diverges_is_an_error(pairs):
    with pytest.raises(ValueError, match="diverged: its loss is nan"):
        fit(*pairs, replace(SMALL, learning_rate=1e38))


def test_training_goes_on_from_another_segmenter(pairs):
    first = fit(*pairs, SMALL).segmenter
    before = first.digest
    config = replace(SMALL, steps=1, learning_rate=1e-6)
    further = fit_source(InMemoryPairs(*pairs), config, start=first)
    moved = further.segmenter.network.get_parameter("outc.conv.weight")
    kept = first.network.get_parameter("outc.conv.weight")
    assert torch.allclose(moved, kept, atol=1e-5)
    assert not torch.equal(moved, kept)
    assert further.segmenter.provenance["start"] == before == first.digest
    assert "start" not in first.provenance
    with pytest.raises(ValueError, match="The segmenter to start from does not fit the U-Net"):
        fit_source(InMemoryPairs(*pairs), replace(SMALL, width=5), start=first)


def test_a_checkpoint_names_the_segmenter_that_was_started_from(pairs, tmp_path):
    file = tmp_path / "training.safetensors"
    source, run = InMemoryPairs(*pairs), Run(checkpoint=file)
    fit_source(source, SMALL, start=fit(*pairs, replace(SMALL, seed=1)).segmenter, run=run)
    with pytest.raises(ValueError, match="belongs to another training"):
        fit_source(source, SMALL, run=run)


def test_an_unfinished_curve_can_be_read(pairs, tmp_path):
    file = tmp_path / "training.safetensors"

    def kill(step: int, total: int) -> None:
        if step == 7:
            raise KilledError

    run = Run(checkpoint=file, checkpoint_seconds=0, progress=kill)
    held_out = discs(7, seed=1)
    with pytest.raises(KilledError):
        fit_source(InMemoryPairs(*pairs), SMALL, validation=held_out, run=run)
    whole = fit(*pairs, SMALL, validation=held_out)
    losses, validation = read_curve(file)
    assert torch.equal(losses, whole.losses[:7])
    assert validation == [whole.validation[0]]


def test_writing_checkpoints_takes_little_of_the_time(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("gseg.segmenters.checkpoint.time.monotonic", lambda: clock[0])

    def slow(*_: object) -> None:
        clock[0] += 4.0

    monkeypatch.setattr("gseg.segmenters.checkpoint.save_state", slow)
    keeper = Keeper(tmp_path / "file", 60.0, "")
    clock[0] = 59.0
    assert not keeper.due
    clock[0] = 60.0
    assert keeper.due
    keeper.save(None)  # until 64; 4 s are 2 % of 200 s
    clock[0] = 263.0
    assert not keeper.due
    clock[0] = 264.0
    assert keeper.due
    assert not Keeper(None, 0.0, "").due


# The compiler's last step, to machine code, takes a minute, and what it gives is its own affair.
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler's own code
def test_a_compiled_training_is_the_same_but_for_rounding(pairs, monkeypatch, backend):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    config = replace(SMALL, steps=4)
    plain = fit(*pairs, config, validation=discs(7, seed=1))
    compiled = fit(*pairs, replace(config, compiled=True), validation=discs(7, seed=1))
    assert torch.allclose(plain.losses, compiled.losses, rtol=1e-2)
    assert list(plain.segmenter.network.state_dict()) == list(
        compiled.segmenter.network.state_dict()
    )
    assert compiled.segmenter.provenance["training"]["compiled"]


_CONFIG = FitConfig(steps=9, batch=4, decay_at=None, width=4, depth=2, validate_every=3)


def _fit(config, **run):
    scenes, held_out = render(range(12), resolution=32), render(range(100, 104), resolution=32)
    source = InMemoryPairs(scenes.pictures, scenes.masks)
    validation = (held_out.pictures, held_out.masks)
    return fit_source(source, config, validation=validation, run=Run(**run))


def test_every_measurement_but_the_last_is_told_when_it_is_made():
    told = []
    result = _fit(_CONFIG, measured=told.append)
    assert [each.step for each in told] == [3, 6]
    assert tuple(told) == result.validation[:2]
    plain = _fit(_CONFIG)
    for key, weights in plain.segmenter.network.state_dict().items():
        assert torch.equal(weights, result.segmenter.network.state_dict()[key])
    assert _fit(replace(_CONFIG, validate_every=0), measured=told.append)
    assert len(told) == 2


def test_who_is_told_may_stop_the_training():
    class Enough(BaseException):
        pass

    def stop(measured):
        raise Enough

    with pytest.raises(Enough):
        _fit(_CONFIG, measured=stop)


def test_a_plain_report_is_no_watch():
    assert not isinstance(silent, Watch)
