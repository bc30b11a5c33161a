"""What a cluster can give: what it has now, or may have once its autoscaler has added its most.

A cluster whose workers come from zero has nothing when a sweep begins. What may come is written in
the cluster file that `ray up` leaves on the head; a driver that runs there (`ray exec`) reads it,
so that enough trials wait at once for the autoscaler to see them.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import ray
import yaml

from gseg.distributed.runtime import Resources

_log = logging.getLogger(__name__)

_LEFT_BY_RAY_UP: Final = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` puts the cluster file on the head; the head's start command names it, too."""
_KINDS: Final = ("CPU", "GPU")


def cluster_capacity() -> dict[str, float]:
    """Say how many CPUs and GPUs the connected cluster has or may have, whichever is more."""
    now: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    later = _autoscaled() if _is_on_head() else {}
    return {kind: max(now.get(kind, 0.0), later.get(kind, 0.0)) for kind in _KINDS}


def with_later_actors(resources: Resources) -> Resources:
    """Say how many actors work, where more may come than there are.

    Args:
        resources: Of a sweep.

    Returns:
        The same with `actors` filled in, if it was 0 and an autoscaler may add something: trials
        run on other nodes, and see only what is there already.
    """
    kind, share = ("GPU", resources.gpus_per_trial) if resources.gpus_per_trial else ("CPU", 1.0)
    now: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    most = cluster_capacity()[kind]
    if resources.actors or most <= now.get(kind, 0.0):
        return resources
    return replace(resources, actors=max(1, int(most / share)))


def most_resources(config: dict[str, Any]) -> dict[str, float]:
    """Add up what the node types of a cluster file give at their most.

    Args:
        config: Content of the file, as Ray completes it. Types without ``resources`` (those of
            machines that are there already) count nothing: their nodes say it when they join.

    Returns:
        CPUs and GPUs of as many workers as may be there at once, the largest types first, and of
        the head.
    """
    types: dict[str, Any] = config.get("available_node_types") or {}
    head = config.get("head_node_type")
    found = {}
    for kind in _KINDS:
        amount = {name: _amount(about, kind) for name, about in types.items()}
        left = _count(config.get("max_workers"), 0)
        total = amount.get(str(head), 0.0)
        for name in sorted(types, key=lambda name: -amount[name]):
            nodes = min(left, _count(types[name].get("max_workers"), left))
            total += nodes * amount[name]
            left -= nodes
        found[kind] = total
    return found


def _amount(about: dict[str, Any], kind: str) -> float:
    return float((about.get("resources") or {}).get(kind, 0.0))


def _count(value: Any, default: int) -> int:  # noqa: ANN401
    return default if value is None else int(value)


def _autoscaled() -> dict[str, float]:
    """Read the cluster file; nothing if there is none."""
    path = _LEFT_BY_RAY_UP.expanduser()
    try:
        config = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        _log.warning("The cluster file %s cannot be read: %s", path, error)
        return {}
    return most_resources(config) if isinstance(config, dict) else {}


def _is_on_head() -> bool:
    """Say whether this process is on the head of a cluster that an autoscaler watches."""
    here = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return any(
        node["NodeID"] == here and "node:__internal_head__" in node["Resources"] for node in nodes
    )
