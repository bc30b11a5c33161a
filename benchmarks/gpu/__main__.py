"""Measure a GPU: `benchmarks/gpu.sh`, which sees to the packages first.

Every part is a process of its own with its own time limit, so that no failure reaches another. A
new part is a function in a module of its own, both of its name, and a line in `PARTS`. Left in
--out: the figures of the card as JSON, each part's with the command that gives them, the same as
tables in Markdown, and an archive of logs.
"""

import argparse
import importlib
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.gpu.report import markdown

ROOT = Path(__file__).resolve().parents[2]
BESIDE, CASES = ROOT.parent / "shared", "conformance"


@dataclass(frozen=True, slots=True)
class Part:
    """A part's limit in seconds, and the modules it needs beside `BASE`."""

    limit: int
    needs: tuple[str, ...] = ()


BASE = ("torch", "torchvision", "numpy", "scipy", "pandas", "pyarrow", "cv2", "PIL", "safetensors")
BIGGAN = ("pytorch_pretrained_biggan", "boto3", "requests", "tqdm")
PARTS = {
    "tests": Part(64, ("pytest", "pytest_timeout", *BIGGAN)),
    "generators": Part(160, BIGGAN),
    "samples": Part(56),
    "unet": Part(42, ("rich",)),
    "stages": Part(44, ("rich",)),
    "sweep": Part(114, ("ray", "pydantic", "tensorboardX", "matplotlib", "rich")),
}
ALL_SECONDS = 480
REHEARSAL = 3
"""Times the limit of a rehearsal, which shares its cores with others."""
GRACE = 3
"""Seconds before its limit at which a part is asked to end; at the limit it is ended."""
LARGEST_ARCHIVE = 16_000_000
RECORDED = ("numpy", "torchvision", "triton", "ray", "pandas", "opencv-python-headless", "pytest")


def missing(part: Part) -> list[str]:
    return [name for name in (*BASE, *part.needs) if importlib.util.find_spec(name) is None]


def run_all(options: argparse.Namespace) -> bool:
    """Do the parts that are asked for; say whether all are done."""
    times = REHEARSAL if options.cpu_rehearsal else 1
    limits = {name: times * PARTS[name].limit for name in options.parts}
    print(f"limits in seconds: {limits}, {sum(limits.values())} in all", flush=True)
    absent = {name: missing(PARTS[name]) for name in options.parts}
    print(f"missing: {sorted({each for names in absent.values() for each in names})}", flush=True)
    own = [each for each in sys.argv[1:] if each != "--parts" and each not in PARTS]
    content: dict[str, Any] = {
        "command": " ".join(["benchmarks/gpu.sh", *sys.argv[1:]]),
        "card": {
            "name": "unknown card",
            "commit": options.commit or head(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "parts": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "logs").mkdir()
        for name in options.parts:
            print(f"--- {name}: at most {limits[name]} s", flush=True)
            began, found = time.monotonic(), {}
            if absent[name]:
                state = f"skipped: {', '.join(absent[name])} is missing"
            else:
                state = run_process(name, limits[name], work)
                file = work / f"{name}.json"
                found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
            content["card"] |= found.pop("card", {}).get("facts", {})
            content["parts"][name] = {
                "state": state_of(state, found),
                "seconds": round(time.monotonic() - began, 1),
                "limit": limits[name],
                "command": " ".join(["benchmarks/gpu.sh", *own, "--parts", name]),
                "findings": found,
            }
            print(f"--- {name}: {content['parts'][name]['state']}", flush=True)
            keep(options.out, content, work / "logs")
    for name, part in content["parts"].items():
        print(f"{name:12}{part['seconds']:7.1f} s  {part['state']}")
    return all(part["state"] == "done" for part in content["parts"].values())


def run_process(name: str, limit: int, work: Path) -> str:
    """Do a part in a process of its own, end all that it has started, and say how it went."""
    log = work / "logs" / f"{name}.log"
    command = [sys.executable, "-m", "benchmarks.gpu", *sys.argv[1:], "--part", name]
    command += ["--work", str(work), "--until", str(time.time() + limit - GRACE)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(limit - GRACE)
            state = "done" if code == 0 else f"failed: exit code {code}"
        except subprocess.TimeoutExpired:
            state = f"failed: stopped after {limit} s"
        finally:
            end(process)
    print(log.read_text(encoding="utf-8", errors="replace")[-8000:], end="", flush=True)
    return state


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and those that it has left behind."""
    for each in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, each)
            process.wait(GRACE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def state_of(state: str, found: dict[str, Any]) -> str:
    """Say how a part went, from how its process went and from what it found."""
    if state != "done":
        return state
    if not found:
        return "failed: nothing was found"
    for kind, what in (("error", "failed"), ("not_reached", "cut short")):
        names = [
            f"{group}: {name}: {each[kind]}"
            for group, entries in found.items()
            for name, each in entries.items()
            if kind in each
        ]
        if names:
            return f"{what}: {len(names)} findings, such as {names[0]}"[:500]
    return "done"


def run_part(options: argparse.Namespace) -> None:
    """Do one part, in this process."""
    import torch

    from benchmarks.gpu.findings import Findings, Task, told

    findings = Findings(options.work / f"{options.part}.json", options.until)
    device = torch.device("cpu" if options.cpu_rehearsal else "cuda")
    task = Task(
        device=device,
        rehearsal=options.cpu_rehearsal,
        shared=options.shared,
        logs=options.work / "logs",
        findings=findings,
    )
    findings.add({"card": {"facts": facts(device)}})
    try:
        module = importlib.import_module(f"benchmarks.gpu.{options.part}")
        getattr(module, options.part)(task)
    except Exception as error:
        findings.add({"the part itself": {options.part: told(error)}})
        raise


def facts(device: Any) -> dict[str, Any]:
    """Say what card and what software this is."""
    import torch

    cuda = device.type == "cuda"
    query = partial(said, "nvidia-smi", "--format=csv,noheader")
    fields = "clocks.max.sm,power.limit"
    return {
        "name": torch.cuda.get_device_name(device) if cuda else "CPU rehearsal",
        "memory_gib": torch.cuda.get_device_properties(0).total_memory / 2**30 if cuda else None,
        "driver": query("--query-gpu=driver_version"),
        fields: query(f"--query-gpu={fields}"),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "python": platform.python_version(),
        **{name: version_of(name) for name in RECORDED},
        "cores": os.cpu_count(),
    }


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def said(*command: str) -> str | None:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def head() -> str | None:
    return said("git", "-C", str(ROOT), "rev-parse", "HEAD")


def keep(out: Path, content: dict[str, Any], logs: Path) -> None:
    """Write the three files; all of them again after each part."""
    slug = re.sub(r"[^a-z0-9]+", "-", content["card"]["name"].lower()).strip("-")
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (out / f"{slug}.json").write_text(text, encoding="utf-8")
    (out / f"{slug}.md").write_text(markdown(content), encoding="utf-8")
    archive = out / f"{slug}-logs.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(logs, "logs")
    if archive.stat().st_size > LARGEST_ARCHIVE:
        archive.unlink()
        print(f"the logs are larger than {LARGEST_ARCHIVE} bytes: left out", flush=True)


def git_sees_results() -> bool:
    """Say whether git would take a result's file; where there is no repository, there is no git."""
    if shutil.which("git") is None or head() is None:
        return True
    command = ["git", "-C", str(ROOT), "check-ignore", "--quiet", "results/gpu/x.json"]
    return subprocess.run(command, check=False).returncode == 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu", help="for results")
    parser.add_argument(
        "--shared",
        type=Path,
        default=BESIDE if (BESIDE / CASES).is_dir() else None,
        help=f"folder with all conformance cases, in {CASES}. Default: shared beside the checkout",
    )
    parser.add_argument("--cpu-rehearsal", action="store_true", help="in small, on the CPU")
    parser.add_argument("--commit", help="recorded where git does not tell it")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="NAME")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.shared is not None and not (options.shared / CASES).is_dir():
        parser.error(f"{options.shared} has no folder {CASES}.")
    if options.part:
        run_part(options)
        return 0
    assert sum(part.limit for part in PARTS.values()) <= ALL_SECONDS
    options.out.mkdir(parents=True, exist_ok=True)
    done = run_all(options)
    if options.cpu_rehearsal and not git_sees_results():
        print("git ignores results/gpu/x.json: see .gitignore")
        done = False
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
