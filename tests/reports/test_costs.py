import pytest

from gseg.reports.costs import acceptance_table, cost_table, provenance_table


def test_shared_work_counts_once(frame):
    rows = frame(
        {"generator": "a.x", "direction_seconds": 60.0, "samples_seconds": 10.0, "data_size": 10},
        {"generator": "a.x", "direction_seconds": 60.0, "samples_seconds": 90.0, "data_size": 90},
        {"generator": "b.x", "direction_seconds": 30.0, "samples_seconds": 50.0},
    )
    table = cost_table(rows).frame.set_index("stage")
    assert table.pieces.to_dict() == {"direction": 2, "samples": 2, "all": 4}
    assert table.hours["direction"] == pytest.approx(90 / 3600)
    assert table.hours["samples"] == pytest.approx(140 / 3600)  # the larger set holds the smaller
    assert table.hours["all"] == pytest.approx(230 / 3600)


def test_a_segmenter_that_was_scored_twice_was_trained_once(frame):
    row = {"experiment": "e", "training_seconds": 7.0, "generator": "a.x"}
    scores = [{"benchmark": name, "scores": name, "scoring_seconds": 2.0} for name in "pq"]
    table = cost_table(frame(*({**row, **score} for score in scores))).frame.set_index("stage")
    assert table.pieces.to_dict() == {"training": 1, "scoring": 2, "all": 3}


def test_no_seconds_no_table(frame):
    assert cost_table(frame({"generator": "a.x"})) is None


def test_acceptance_is_told_by_reason(frame):
    counts = {"candidates": 200, "accepted": 150, "rejected_area": 40, "rejected_histogram": 10}
    table = acceptance_table(frame({"generator": "a.x", **counts}, {"generator": "b.x"}))
    line = table.frame.iloc[0]
    assert (line.accepted, line.area, line.histogram) == (0.75, 0.2, 0.05)
    assert "empty" not in table.frame
    assert len(table.frame) == 1


def test_provenance_lists_every_version(frame):
    rows = frame(
        *(
            {"torch_version": v, "finished": f"2026-01-0{n}T00:00:00Z"}
            for n, v in enumerate(("2.7", "2.8", "2.8"), start=1)
        )
    )
    lines = provenance_table(rows).frame
    torch = lines[lines.fact == "torch version"]
    assert dict(zip(torch.value, torch.rows, strict=True)) == {"2.7": 1, "2.8": 2}
    assert lines[lines.fact == "last row"].value.item() == "2026-01-03 00:00 UTC"
