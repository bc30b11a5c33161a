"""The command line of searches, without Ray: points are tried in this process."""

import pandas as pd
import pytest

from gseg.commands.app import run as run_app
from gseg.commands.search import app
from gseg.pipeline.rows import KEY, make_row
from gseg.search.evaluate import Outcome
from gseg.search.objectives import LABELS_USED, OBJECTIVES, with_mark
from gseg.search.space import searched_axes

_SMALL = (
    *("--preset", "smoke", "--generators", "analytic.ellipses32", "--benchmark", "scenes:12"),
    *("--data-size", "40", "--plain", "--cpus", "1"),
)
_FAST = ("--space", "search_steps=2", "train_steps=2", "min_share=0.01,0.02,0.03")


@pytest.fixture(autouse=True)
def _apart(apart, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def _made_up(work, point, *_):
    """What a point would give, without any work."""
    search, parameters = work.search, point.parameters
    rows = [
        make_row(
            {
                "experiment": name,
                "benchmark": "scenes:12",
                "eval_protocol": "text",
                "metric_profile": "sod",
                "supervision": "none",
                "scores": name,
            }
        )
        for name in search.names_of(parameters)
    ]
    marked = [with_mark(row) for row in rows] if search.uses_labels else rows
    return Outcome(rows=marked, values={"combined": parameters["min_share"], "iou": 0.5})


@pytest.fixture
def here(points_here, request):
    """Only the test that asks for "the work" does it."""
    if getattr(request, "param", "") != "the work":
        points_here.evaluate = _made_up
    return points_here


@pytest.fixture
def run(capsys):
    def call(*arguments):
        status = run_app(app, arguments)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--space epsilon=1", None),
        ("", "Nothing to search over"),
        ("--space epsilonn=1,2", "did you mean 'epsilon'?"),
        ("--space epsilon=uniform:1:2 --sampler grid", "a grid needs lists of values"),
        ("--space epsilon=-1,2", "epsilon=-1.0 cannot be: epsilon must be a positive number"),
        ("--space epsilon=1,2 --objective iou", "--use-labels"),
        ("--space epsilon=1,2 --objective iuo", "did you mean 'iou'?"),
        ("--space epsilon=1,2 --objective stability", "give two or more, such as --seeds 0 1 2"),
        ("--space epsilon=1,2 --points 0", "--points: expected a whole number >= 1, got '0'"),
        ("--space epsilon=1,2 --asha held_out_loss", "there is none before the end: give --valid"),
        (
            "--space epsilon=1,2 --asha held_out_loss --validate-every 5 --asha-factor 1",
            "factor must be above 1, got 1",
        ),
        ("--space epsilon=1,2 --sampler bayes", 'Invalid value "bayes" for --sampler'),
        ("--space epsilon=1,2 --max-hours -1", "positive number of hours"),
    ],
)
def test_a_mistake_costs_one_line_and_no_work(run, here, arguments, message):
    status, out, err = run(*_SMALL, *arguments.split(), "--dry-run")
    if message is None:
        assert status == 0
        assert "1 points" in out or "20 points" in out
        return
    assert status == 2
    assert message.lower() in err.lower()
    assert err.count("\n") == 1
    assert out == ""
    assert not here.tried


def test_several_values_of_an_option_are_a_choice(run):
    status, out, _ = run(
        *(*_SMALL[:3], "analytic.ellipses32", "analytic.ellipses20", *_SMALL[4:]),
        *("--epsilon", "0.5", "1", "--space", "mask_kind=lighter,both", "--sampler", "grid"),
        "--dry-run",
    )
    assert status == 0
    assert "search: grid over generator, epsilon, mask_kind; combined (max); no labels used" in out
    assert "8 points, 0 known (0 complete, 0 pruned, 0 failed), 8 to try" in out
    assert "to do: 4 directions, 16 sample sets" in out
    assert "no GPU-hours" in out


def test_help_names_every_setting_and_objective(run):
    status, out, _ = run("--help")
    assert status == 0
    text = " ".join(out.replace("│", " ").split())
    assert all(name in text for name in (*searched_axes(), *OBJECTIVES))


@pytest.mark.parametrize("here", ["the work"], indirect=True)
def test_a_search_leaves_points_rows_a_table_and_a_picture(run, here, tmp_path):
    tried = here.tried
    status, out, err = run(*_SMALL, *_FAST, "--sampler", "grid")
    assert (status, err) == (0, "")
    assert tried == [0, 1, 2]
    assert "best of search" in out
    assert "figure: results/search_figures/search.png" in out
    assert (tmp_path / "results" / "search_figures" / "search.png").stat().st_size > 5_000
    points = pd.read_parquet(tmp_path / "results" / "search_trials")
    assert list(points.number) == [0, 1, 2]
    assert list(points.min_share) == [0.01, 0.02, 0.03]
    assert set(points.state) == {"complete"}
    assert points.objective_combined.notna().all()
    assert points.objective_iou.isna().all()  # no labels were asked for
    rows = pd.read_parquet(tmp_path / "results" / "search").set_index(list(KEY))
    assert rows.index.is_unique
    assert set(rows.supervision) == {"none"}
    assert set(rows.recipe) == {"search"}
    behind = set(",".join(points.experiments).split(","))
    assert set(rows.reset_index().experiment) == behind

    again, out, _ = run(*_SMALL, *_FAST, "--sampler", "grid")
    assert again == 0
    assert tried == [0, 1, 2]
    assert "3 points, 3 known (3 complete, 0 pruned, 0 failed), 0 to try" in out
    assert "best of search" in out


@pytest.mark.parametrize("here", ["the work"], indirect=True)
def test_a_search_ends_with_a_choice_without_labels(run, here):
    learning = ("--train-learning-rate", "0.005", "--sampler", "grid", "--choose")
    told = (*_SMALL, *learning, "--space", "train_steps=1,60")
    status, out, err = run(*told)
    assert (status, err) == (0, "")
    assert "refused: analytic.ellipses32, train steps 1, train decay at 1: its masks are" in out
    assert "chosen without labels, by agreed_iou: analytic.ellipses32, train steps 60" in out
    # All points are refused: they are there all the same.
    status, out, err = run(*_SMALL, *learning, "--space", "train_steps=1", "--name", "poor")
    assert (status, err) == (0, "")
    assert "nothing chosen: None of 1 trials can be chosen: its masks are" in out


def test_a_failed_point_is_told_and_tried_again_on_request(run, here):
    here.failing[1] = "it diverged"
    tried = here.tried
    status, out, _ = run(*_SMALL, *_FAST, "--sampler", "grid")
    assert status == 1
    assert "failed: #1 search_steps=2 train_steps=2 min_share=0.02: it diverged" in out
    status, out, _ = run(*_SMALL, *_FAST, "--sampler", "grid")
    assert status == 1
    assert tried == [0, 1, 2]
    assert "it diverged (an earlier run; see --retry-failed)" in out
    here.failing.clear()
    status, out, _ = run(*_SMALL, *_FAST, "--sampler", "grid", "--retry-failed")
    assert status == 0
    assert tried == [0, 1, 2, 1]


def test_a_limit_of_points_for_one_run(run, here):
    tried = here.tried
    status, out, _ = run(*_SMALL, *_FAST, "--sampler", "grid", "--max-trials", "2")
    assert status == 3
    assert "1 point is left; the same command goes on with them" in out
    assert run(*_SMALL, *_FAST, "--sampler", "grid", "--max-trials", "2")[0] == 0
    assert tried == [0, 1, 2]


def test_a_search_by_labels_is_kept_apart_and_marked(run, here, tmp_path):
    fast = (*_FAST[:3], "min_share=0.01,0.02", "--sampler", "grid")
    labels = ("--objective", "iou", "--use-labels")
    assert run(*_SMALL, *fast)[0] == 0
    assert run(*_SMALL, *fast, *labels)[0] == 0
    plain = pd.read_parquet(tmp_path / "results" / "search")
    marked = pd.read_parquet(tmp_path / "results" / "search_labels")
    assert set(plain.supervision) == {"none"}
    assert set(marked.supervision) == {LABELS_USED}
    assert set(marked.experiment) == set(plain.experiment)
    assert pd.read_parquet(tmp_path / "results" / "search_labels_trials").labels_used.all()
    for mixed in ((*labels, "--name", "search"), ("--name", "search_labels")):
        status, _, err = run(*_SMALL, *fast, *mixed)
        assert status == 2
        assert "the two are kept apart. Choose another --name" in err


def test_points_that_were_chosen_by_other_labels_are_kept_apart(run, here):
    """Their scores stood beside those of other pictures, as if they compared."""
    labels = (*_FAST[:3], "min_share=0.01,0.02", "--objective", "iou", "--use-labels")
    assert run(*_SMALL, *labels, "--sampler", "grid", "--max-trials", "1")[0] == 3
    other = ["scenes:14" if word == "scenes:12" else word for word in _SMALL]
    status, _, err = run(*other, *labels, "--sampler", "grid")
    assert status == 2
    assert "chooses by the labels of other pictures, or of these as they were" in err
    assert len(err.splitlines()) == 1
    assert run(*_SMALL, *labels, "--sampler", "grid")[0] == 0
