"""`benchmarks/gpu.sh`: when a part counts as done, on made-up logs; nothing is measured here."""

import contextlib
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as script
from benchmarks.gpu import report
from benchmarks.gpu import tests as tested
from benchmarks.gpu.generators import BATCHES, SETTINGS, TRAINED, choose
from benchmarks.gpu.sweep import check, logged
from gseg.generators.catalogue import list_generators

JUNIT = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest">
<testcase classname="tests.a" name="one" time="0.5" />
<testcase classname="tests.a" name="two" time="1.0">
<failure message="1 != 2">trace</failure></testcase>
<testcase classname="tests.a" name="three" time="0"><skipped message="no card" /></testcase>
<testcase classname="tests.b" name="" time="0">
<error message="collection failure">t</error></testcase>
</testsuite></testsuites>"""
ON_CARD = "1 passed\nkernels on the card: 1,204 (PyTorch's allocations there)\n"


def of(*outcomes: str) -> dict[str, dict[str, str]]:
    return {str(number): {"outcome": outcome} for number, outcome in enumerate(outcomes)}


def test_each_test_is_listed_with_outcome_seconds_and_reason():
    found = tested.outcomes(JUNIT)
    assert [facts["outcome"] for facts in found.values()] == [
        "passed", "failed", "skipped", "failed",
    ]  # fmt: skip
    assert found["tests.a::two"] == {"outcome": "failed", "took": 1.0, "why": "1 != 2"}
    assert found["tests.a::three"]["why"] == "no card"


@pytest.mark.parametrize(
    ("code", "log", "each", "on_card", "error"),
    [
        (0, ON_CARD, of("passed"), True, None),
        (0, "1 passed", of("passed"), False, None),
        (0, "1 passed", of("passed"), True, "no line says how many kernels ran"),
        (0, "kernels on the card: 0", of("passed"), True, "no kernel ran on the card"),
        (0, ON_CARD, of("passed", "skipped"), True, "1 skipped"),
        (0, "", of("passed", "skipped"), False, "1 skipped"),
        (1, ON_CARD, of("passed", "failed"), True, "1 failed, pytest's exit code is 1"),
        (5, ON_CARD, {}, True, "pytest's exit code is 5, none passed"),
    ],
)
def test_tests_fail_on_any_skip_or_failure_and_without_kernels(code, log, each, on_card, error):
    found = tested.verdict(code, log, each, on_card=on_card, may_skip=False)
    assert found.get("error") == error


def test_conformance_cases_that_are_not_there_may_be_skipped_in_a_rehearsal():
    each = of("passed", "skipped")
    assert "error" not in tested.verdict(0, "", each, on_card=False, may_skip=True)


def test_a_part_is_done_only_if_all_was_reached_without_an_error():
    good, bad, late = {"rate": 1.0}, {"error": "ValueError: no"}, {"not_reached": "time was up"}
    assert script.state_of("done", {"group": {"a": good}}) == "done"
    assert script.state_of("done", {}) == "failed: nothing was found"
    assert script.state_of("failed: stopped after 5 s", {"group": {"a": good}}).startswith("failed")
    for wrong, state in ((bad, "failed: 1"), (late, "cut short: 1")):
        assert script.state_of("done", {"group": {"a": good, "b": wrong}}).startswith(state)


def test_parts_have_their_modules_and_fit_into_the_time():
    for name in script.PARTS:
        module = script.ROOT / "benchmarks" / "gpu" / f"{name}.py"
        assert f"def {name}(task: Task) -> None:" in module.read_text(encoding="utf-8")
    assert sum(part.limit for part in script.PARTS.values()) <= script.ALL_SECONDS


def test_what_a_part_started_ends_with_it():
    process = subprocess.Popen(["bash", "-c", "sleep 60 & wait"], start_new_session=True)
    while len(_running(process.pid)) < 2:
        time.sleep(0.01)
    script.end(process)
    assert process.returncode is not None
    until = time.monotonic() + 10  # a signal takes its time
    while _running(process.pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _running(process.pid)


def _running(group: int) -> list[str]:
    """List the processes of a group; what has ended and is not collected yet is none."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of_group, *_ = status.read_text().rpartition(")")[2].split()
            if int(of_group) == group and state not in "ZX":
                found.append(status.parent.name)
    return found


def test_the_rule_chooses_the_fastest_setting_that_keeps_every_generator():
    exact, rounded, narrow = (setting.name for setting in SETTINGS)

    def shares(**keeps: bool) -> list[dict[str, object]]:
        return [
            {"setting": name, "keeps": kept, "times_float32": times}
            for name, kept, times in zip(
                (exact, rounded, narrow), (True, *keeps.values()), (1.0, 4.0, 5.0), strict=True
            )
        ]

    both = {"a": shares(tf32=True, narrow=True), "b": shares(tf32=True, narrow=False)}
    assert choose(both)["chosen"] == rounded
    assert choose({"a": both["a"]})["chosen"] == narrow
    assert choose({"a": shares(tf32=False, narrow=False)})["chosen"] == exact
    with pytest.raises(ValueError, match="No setting"):
        choose({"a": both["a"], "b": []})


def test_generators_that_are_measured_are_in_the_catalogue():
    # A rehearsal builds one of each kind; the others would meet a card first.
    assert {*TRAINED, *BATCHES} <= {card.name for card in list_generators()}


def test_a_sweep_that_takes_too_long_is_killed_and_its_lines_have_seconds(tmp_path):
    log = tmp_path / "log"
    lasting = "import time; print('begun', flush=True); time.sleep(60)"
    assert logged([sys.executable, "-c", lasting], log, 3.0) == -signal.SIGKILL
    assert re.fullmatch(r"\[ +\d\.\d s\] begun\n", log.read_text())
    assert logged([sys.executable, "-c", "raise SystemExit(3)"], log, 60.0) == 3


def test_rows_of_a_sweep_are_checked():
    import pandas as pd

    methods = ["gan", "true_masks", "distilled", "otsu", "centre_disc", "grabcut"]
    rows = pd.DataFrame({"method": methods, "iou": 0.5, "experiment": list("abcdef")})
    assert check(rows, whole=True) == {"trials_done": 3, "rows": 6}
    assert check(rows[1:], whole=False)["trials_done"] == 2
    with pytest.raises(ValueError, match="Expected rows"):
        check(rows[1:], whole=True)
    with pytest.raises(ValueError, match="No trial"):
        check(rows[3:], whole=False)
    with pytest.raises(ValueError, match="between 0 and 1"):
        check(rows.assign(iou=1.5), whole=True)


def test_findings_are_kept_as_json_table_and_archive(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "unet.log").write_text("a line\n")
    finding = {"rate": 1234.5, "share": 0.25, "why": "a|b", "traceback": "long", "inner": {"x": 1}}
    part = {"state": "done", "seconds": 1.0, "limit": 75, "findings": {"fit": {"one": finding}}}
    content = {
        "card": {"name": "Card (9)"},
        "command": "benchmarks/gpu.sh",
        "parts": {"unet": part},
    }
    script.keep(tmp_path, content, tmp_path / "logs")
    lines = (tmp_path / "card-9.md").read_text().splitlines()
    assert "| what | rate | share | why |" in lines
    assert "| one | 1,234 | 0.25 | a/b |" in lines
    assert (tmp_path / "card-9.json").is_file()
    with tarfile.open(tmp_path / "card-9-logs.tar.gz") as archive:
        assert "logs/unet.log" in archive.getnames()
    assert re.fullmatch(r"\d\.\d{3}", report.cell(1.23456))
