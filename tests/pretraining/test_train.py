import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from gseg.generators.studiogan import ResNetConfig
from gseg.pretraining import train as module
from gseg.pretraining.recipes import RECIPES
from gseg.pretraining.train import main, save_weights, train
from gseg.pretraining.training import Training, start_training
from gseg.randomness import latents
from gseg.scenes.pictures import render

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def scenes():
    return render(range(64))


@pytest.fixture(autouse=True)
def _few_pictures(monkeypatch):
    monkeypatch.setattr(module, "MEASURED", 20)
    monkeypatch.setattr(module, "ENCODER_STEPS", 2)


def _small(name, iterations=6):
    return replace(RECIPES[name], batch=4, iterations=iterations)


def _same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize(
    "name",
    [
        "ggan.scenes32",
        "biggan.scenes32",
        "selfcondgan.scenes32-large",
        "bigbigan.scenes32-large",
    ],
)
def test_a_restored_training_goes_on_bit_for_bit(name, scenes, tmp_path):
    whole, first, second = (start_training(_small(name), 3, CPU) for _ in range(3))
    expected = [whole.step(scenes) for _ in range(4)]
    losses = [first.step(scenes) for _ in range(2)]
    torch.save(first.state(), tmp_path / "state.pt")
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    losses += [second.step(scenes) for _ in range(2)]
    assert losses == expected
    assert _same(second.state(), whole.state())


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_a_step(name, scenes):
    training = start_training(_small(name), 0, CPU)
    before = [weight.clone() for weight in training.generator.parameters()]
    losses = training.step(scenes)
    assert all(map(torch.isfinite, map(torch.tensor, losses)))
    changed = [
        not torch.equal(old, new)
        for old, new in zip(before, training.generator.parameters(), strict=True)
    ]
    assert sum(changed) > 0.8 * len(changed)
    assert all(weight.requires_grad for weight in training.discriminator.parameters())


def test_a_training_depends_on_its_seed_and_leaves_the_global_one_alone(scenes):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    losses = [Training(_small("ggan.scenes32"), seed, CPU).step(scenes) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_rates_fall_to_zero_over_the_last_part():
    recipe = _small("ggan.scenes32", iterations=100)
    training = Training(recipe, 0, CPU)
    rates = []
    for training.iteration in (0, 65, 83, 99):
        training._set_rates()
        rates.append(training.generator_optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([4e-4, 4e-4, 4e-4 * 17 / 35, 4e-4 / 35])
    discriminator = training.discriminator_optimiser.param_groups[0]["lr"]
    assert discriminator == pytest.approx(6e-4 / 35)


def test_the_average_follows_fast_at_first(scenes):
    training = Training(_small("ggan.scenes32"), 0, CPU)
    start = next(training.average.parameters()).clone()
    training.step(scenes)
    now = next(training.generator.parameters())
    # (1 + 0) / (10 + 0) of the old value is kept in the first step
    expected = 0.1 * start + 0.9 * now
    assert torch.allclose(next(training.average.parameters()), expected, atol=1e-6)


def test_exported_weights_are_plain_and_make_the_average_s_pictures(scenes):
    recipe = _small("biggan.scenes32")
    training = Training(recipe, 0, CPU)
    training.step(scenes)
    exported = training.export()
    plain = recipe.network.build()
    assert exported.state_dict().keys() == plain.state_dict().keys()
    z, y = latents(0, range(3), recipe.network.latent_dim), torch.tensor([0, 1, 2])
    average = training.average.eval()
    with torch.no_grad():
        assert torch.allclose(exported(z, y), average(z, y), atol=0.05)
    assert any("parametrizations" in key for key in training.average.state_dict())
    training.step(scenes)  # exporting is no end


def test_saved_weights_rebuild_the_network(scenes, tmp_path):
    recipe = _small("sngan.scenes32")
    training = Training(recipe, 0, CPU)
    training.step(scenes)
    network = training.export()
    path = save_weights(network, "x.scenes32", recipe, {"seed": 0}, tmp_path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["architecture"] == ResNetConfig.architecture
    rebuilt = ResNetConfig(**json.loads(metadata["config"])).build()
    tensors = load_file(path)
    assert {tensor.dtype for tensor in tensors.values()} <= {torch.float16, torch.int64}
    rebuilt.load_state_dict(tensors)
    z, y = latents(0, range(3), recipe.network.latent_dim), torch.tensor([3, 4, 5])
    with torch.no_grad():
        assert torch.allclose(rebuilt.eval()(z, y), network(z, y), atol=0.02)
    beside = json.loads(path.with_suffix(".json").read_text())
    assert beside["card"] == json.loads(metadata["card"])
    assert beside["card"]["supervision"] == "class labels"
    assert RECIPES["selfcondgan.scenes32-large"].supervision == "none"


def test_an_interrupted_command_ends_with_the_weights_of_a_whole_one(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PICTURES", 32)
    monkeypatch.setattr(module, "_SAVE_EVERY", 2)
    recipe = _small("uncondgan.scenes32-large", iterations=5)

    def run(folder):
        return train("x.scenes32", recipe, seed=1, device=CPU, folder=tmp_path / folder)

    whole = run("whole")
    step, count = Training.step, 0

    def killed(self, scenes):
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        return step(self, scenes)

    monkeypatch.setattr(Training, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run("killed")
    assert (tmp_path / "killed" / "checkpoint.pt").exists()
    assert (tmp_path / "killed" / "sheet.png").exists()
    resumed = run("killed")
    assert count == 4 + 3  # iterations 2, 3 and 4 again
    assert _same(load_file(resumed), load_file(whole))
    assert _same(load_file(run("killed")), load_file(whole))
    assert count == 7  # a finished training takes no further step


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["gan.scenes32"])
    assert caught.value.code == 2
    assert "invalid choice: 'gan.scenes32'" in capsys.readouterr().err


def test_a_checkpoint_of_another_training_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PICTURES", 32)
    recipe = _small("uncondgan.scenes32-large", iterations=1)
    train("x.scenes32", recipe, seed=1, device=CPU, folder=tmp_path)
    with pytest.raises(ValueError, match="another recipe, seed or data set"):
        train("x.scenes32", recipe, seed=2, device=CPU, folder=tmp_path)


def test_clusters_are_the_classes_of_a_self_conditioned_gan(scenes):
    recipe = _small("selfcondgan.scenes32-large")
    training = start_training(recipe, 0, CPU)
    training.step(scenes)
    assert training.clusters.shape == scenes.labels.shape
    assert 1 < len(training.clusters.unique()) <= recipe.network.num_classes
    first = training.clusters
    training.step(scenes)
    assert training.clusters is first  # renewed every 500 iterations alone
    drawn = training.fake_labels("generator")
    assert set(drawn.tolist()) <= set(first.tolist())
    training.iteration = 500
    training.step(scenes)
    assert training.clusters is not first


def test_the_encoder_learns_to_make_pairs(scenes):
    training = start_training(_small("bigbigan.scenes32-large"), 0, CPU)
    before = [weight.clone() for weight in training.encoder.parameters()]
    training.step(scenes)
    after = list(training.encoder.parameters())
    changed = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert all(changed)
    encoder = training.export_encoder(steps=40)
    z = latents(5, range(64), 64)
    with torch.no_grad():
        mean, deviation = encoder(training.average.eval()(z))
        untrained, _ = training.encoder_average.eval()(training.average(z))
    assert ((deviation > 0) & (deviation < 1)).all()
    assert (mean * z).mean() > (untrained * z).mean() + 0.002


def test_snapshots_and_encoders_are_written_beside_the_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PICTURES", 16)
    recipe = replace(_small("bigbigan.scenes32-large", iterations=2), snapshots=(1,))
    path = train("x.scenes32", recipe, seed=0, device=CPU, folder=tmp_path)
    names = {each.name for each in tmp_path.glob("*.safetensors")}
    assert names == {
        "x.scenes32.safetensors",
        "x.scenes32-1.safetensors",
        "x.scenes32.encoder.safetensors",
    }
    card = json.loads((tmp_path / "x.scenes32-1.json").read_text())["card"]
    assert (card["snapshot_of"], card["iterations"]) == ("x.scenes32", 1)
    whole = json.loads(path.with_suffix(".json").read_text())["card"]
    assert "snapshot_of" not in whole
    assert {"command", "seed", "iterations", "hardware", "date", "seconds"} <= whole.keys()
    assert whole["fid"] > 0
    assert "20" in whole["fid_protocol"]
    assert whole["fid"] != card["fid"]


def test_a_training_that_diverges_stops_with_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PICTURES", 16)
    monkeypatch.setattr(Training, "step", lambda self, _: (float("nan"), 0.0))
    recipe = _small("ggan.scenes32", iterations=2)
    with pytest.raises(ValueError, match="not finite at iteration 0"):
        train("x.scenes32", recipe, seed=0, device=CPU, folder=tmp_path)
