"""Training the papers' U-Net on pairs in memory, against bare steps."""

from dataclasses import replace
from typing import Any

from benchmarks.gpu.findings import Task
from benchmarks.gpu.speed import count_flops, second_of, share_of_peak
from benchmarks.training import BareSteps, Case, measure_apart
from gseg.segmenters.config import fit_preset, native_precision

SECONDS, BARE_SECONDS, RESERVE = 60.0, 3.0, 8.0
"""Of `fit` and of the bare steps before and after it; what is left for these."""
AIM_MINUTES = 10
PAIRS = 1_000


def unet(task: Task) -> None:
    batch, side, width = (4, 32, 8) if task.rehearsal else (95, 128, 64)
    config = replace(
        fit_preset("paper"),
        batch=batch,
        width=width,
        precision=native_precision(task.device),
        decay_at=None,
        validate_every=0,
    )

    def train() -> dict[str, Any]:
        case = Case(config=config, resolution=side, pairs=PAIRS, target=1.05)
        step = BareSteps(case, task.device)
        flops = count_flops(step)
        one = second_of(step, 0.1 if task.rehearsal else 1.0, task.device)
        del step
        wished = 2.0 if task.rehearsal else SECONDS
        seconds = min(wished, task.findings.seconds_left - RESERVE)
        steps = max(2, int(seconds / one / case.target))
        bare_steps = max(2, int(min(BARE_SECONDS, seconds / 4) / one))
        chosen = replace(case, config=replace(config, steps=steps))
        whole, bare = measure_apart(chosen, task.device, bare_steps)
        each = whole[0] / steps
        return {
            "pictures_per_second": batch / each,
            "step_over_bare_step": whole[0] / bare[0],
            "share_of_bfloat16_peak": share_of_peak(flops / each, task.device),
            "tflop_per_second": flops / each / 1e12,
            "steps": steps,
            "fit_seconds": whole[0],
            "precision": config.precision,
            "minutes_of_12000_steps (extrapolated)": 12_000 * each / 60,
            "aim_minutes": AIM_MINUTES,
        }

    task.findings.attempt("fit", f"width {width}, {side} px, batch {batch}", train)
