from itertools import product

import numpy as np
import pytest
from parsed_options import parsed_options
from PIL import Image

from gseg.commands.options import check_samples
from gseg.pipeline.experiment import Experiment
from gseg.recipes.melas2022 import all_gans
from gseg.samples.config import LatentConfig, filter_preset

GGAN, SNGAN = "ggan.scenes32", "sngan.scenes32"


def _experiments(*arguments, generator=SNGAN):
    options = parsed_options("--generators", generator, "--data-size", "10", *arguments)
    axes = options.varied()
    found = [each for grid in options.grids(axes) for each in all_gans(grid, axes)]
    return [each for each in found if each.method == "gan"]


@pytest.fixture
def embeddings(tmp_path):
    path = tmp_path / "embeddings.npy"
    np.save(path, np.zeros((5, 64), dtype=np.float32))
    return path


@pytest.fixture
def pictures(tmp_path):
    from gseg.commands.scenes import write_scenes

    write_scenes(tmp_path / "scenes", range(3))
    return tmp_path / "scenes"


def test_without_options_samples_are_the_grid_s():
    (found,) = _experiments()
    assert found.samples.latents == LatentConfig()
    assert (found.selection, found.labelled) == (None, None)
    assert found.samples.epsilon == found.search.epsilon


def test_latents_near_embeddings(embeddings):
    (found,) = _experiments("--embeddings", str(embeddings), "--alpha", "0.2")
    latents = found.samples.latents
    assert (latents.source, latents.alpha) == ("embeddings", 0.2)
    assert latents.embeddings == str(embeddings)
    check_samples(found)


def test_classes_truncation_filters_and_the_masks_shift():
    (found,) = _experiments(
        *("--classes", "3", "7", "--class-weights", "1", "2", "--truncation", "1.5"),
        *("--filters", "none", "--sample-epsilon", "0.5", "--epsilon", "2"),
    )
    latents = found.samples.latents
    assert (latents.classes, latents.class_weights) == ((3, 7), (1, 2))
    assert latents.truncation == 1.5
    assert found.samples.filters == filter_preset("none")
    assert (found.search.epsilon, found.samples.epsilon) == (2, 0.5)
    assert _experiments("--classes", "uniform") == _experiments()


def test_selection_of_the_nearest(pictures):
    (found,) = _experiments("--nearest", str(pictures / "images"))
    assert found.selection.folder == str(pictures / "images")
    assert (found.selection.candidates, found.selection.features) == (200, "scenes")
    check_samples(found)
    (found,) = _experiments("--nearest", str(pictures / "images"), "--nearest-candidates", "11")
    assert found.selection.candidates == 11


def test_labelled_pictures_have_the_samples_size_and_the_trial_s_seed(pictures):
    spec = f"folder:{pictures}"
    options = ("--labelled", spec, "--labelled-count", "2", "--labelled-weight", "0.5")
    first, second = _experiments(*options, "--seeds", "0", "9")
    assert (first.labelled.count, first.labelled.side, first.labelled.weight) == (2, 32, 0.5)
    assert (first.labelled.seed, second.labelled.seed) == (0, 9)
    check_samples(first)
    (many,) = _experiments("--labelled", spec)
    with pytest.raises(ValueError, match="has 3 pictures, asked for 1,000"):
        check_samples(many)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--embeddings nowhere.npy", "there is no such file of embeddings"),
        ("--alpha 0.2", "--alpha 0.2 is about latents near embeddings: name their file"),
        ("--truncation 0", "truncation is above 0"),
        ("--classes uniform 3", "--classes takes 'uniform' alone, or numbers from 0"),
        ("--class-weights 1 2", "class_weights needs one weight for each of the 0 classes"),
        ("--classes 1 2 --class-weights 0 0", "class_weights are 0 or more, one above 0"),
        ("--sample-epsilon -1", "epsilon is above 0, got -1"),
        ("--nearest . --nearest-candidates 5", "selection of 10 samples needs as many candidates"),
        ("--nearest . --nearest-features vgg", "Unknown features 'vgg'"),
        ("--labelled scenes --labelled-weight 1", "weight is a share"),
    ],
)
def test_wrong_options_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        _experiments(*arguments.split())


@pytest.mark.parametrize(
    ("arguments", "generator", "message"),
    [
        ("--classes 10", SNGAN, "has 10 classes, asked for class 10"),
        ("--classes 1", GGAN, "ggan.scenes32 knows no classes"),
        ("--nearest nowhere", SNGAN, "nowhere: there is no such folder of pictures"),
        ("--embeddings", "analytic.ellipses16", "takes latents of 8"),
    ],
)
def test_what_does_not_fit_a_generator_is_found_before_any_work(
    embeddings, arguments, generator, message
):
    words = arguments.split() + ([str(embeddings)] if arguments == "--embeddings" else [])
    (found,) = _experiments(*words, generator=generator)
    with pytest.raises(ValueError, match=message):
        check_samples(found)


def test_a_mask_coding_is_that_of_all_folders_that_say_none(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = ("--mask-coding", "void=255", "foreground=1")
    options = parsed_options("--benchmark", "folder:a", "folder+colour:b", "cub:c", *words)
    coded = "folder+foreground=1+void=255"
    assert options.context().benchmarks == (
        f"{coded}:{tmp_path / 'a'}",
        f"folder+colour:{tmp_path / 'b'}",
        f"cub:{tmp_path / 'c'}",
    )
    (found,) = _experiments("--labelled", "folder:a", *words)
    assert found.labelled.benchmark == f"{coded}:{tmp_path / 'a'}"
    mask = tmp_path / "masks" / "a.png"
    mask.parent.mkdir()
    Image.new("L", (4, 4), 1).save(mask)
    options = parsed_options("--labeller", "folder:masks", *words)
    assert options.grid().labeller.coding == ("foreground=1", "void=255")
    assert options.grid().labeller != parsed_options("--labeller", "folder:masks").grid().labeller
    with pytest.raises(ValueError, match="--mask-coding has no effect without a folder"):
        parsed_options("--benchmark", "scenes", "folder+colour:b", *words).context()
    with pytest.raises(ValueError, match="did you mean 'colour'"):
        parsed_options("--benchmark", "folder:a", "--mask-coding", "color")


def test_files_of_the_nearest_and_the_labelled_that_are_left_out_are_told(pictures):
    (pictures / "images" / "x.heic").touch()
    folder, left = pictures / "images", "1 file left out: 1 .heic (install gseg[heic])"
    (found,) = _experiments("--nearest", str(folder))
    assert check_samples(found) == (f"{folder}: {left}",)
    (found,) = _experiments("--labelled", f"folder:{pictures}", "--labelled-count", "2")
    assert check_samples(found) == (f"{folder}: {left}",)


def test_methods_without_samples_have_nothing_to_check():
    assert check_samples(Experiment(method="otsu")) == ()


def test_thresholds_of_masks_and_of_what_is_scored():
    thresholds = ("zero", "otsu", "choose")
    found = _experiments("--mask-threshold", *thresholds, "--mask-kind", "lighter", "both")
    told = {(each.samples.mask_threshold, each.mask_kind) for each in found}
    assert told == set(product(thresholds, ("lighter", "both")))
    assert len({each.digest for each in found}) == 6
    (plain,) = _experiments()
    assert _experiments("--mask-threshold", "zero")[0].digest == plain.digest
    with pytest.raises(ValueError, match="masks of kind 'affine' ask which of two colour maps"):
        _experiments("--mask-threshold", "otsu", "--mask-kind", "both", "affine")
    assert parsed_options("--eval-protocol", "text+otsu").scoring.eval_protocol == "text+otsu"
