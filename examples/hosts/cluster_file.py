"""Turns ray_cluster_local.yaml into the cluster file of the hosts that up.sh makes.

Addresses, user and key become theirs. There is no way to a package index from them: they use the
virtual environment of this machine, with the sources that `ray up` brings, and an object store at
the hub's address. Each worker gives one CPU.

    python examples/hosts/cluster_file.py LAB WORKERS > cluster.yaml
"""

import sys
from pathlib import Path

import yaml

HUB = "10.77.0.254"
ENVIRONMENT = {
    "PYTHONPATH": "$HOME/gseg",
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
    "AWS_ENDPOINT_URL": f"http://{HUB}:5000",
    "AWS_ACCESS_KEY_ID": "anyone",
    "AWS_SECRET_ACCESS_KEY": "anything",
    "AWS_DEFAULT_REGION": "us-east-1",
}
SMALL = "--object-store-memory=200000000"


def adapted(config: dict, lab: Path, workers: int) -> dict:
    """Give the file's content for these hosts."""
    addresses = [f"10.77.0.{number}" for number in range(1, workers + 2)]
    config["provider"] |= {"head_ip": addresses[0], "worker_ips": addresses[1:]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(lab / "user-key")}
    config |= {"min_workers": workers, "max_workers": workers}
    kept = [line for line in config["setup_commands"] if "pip install" not in line]
    config["setup_commands"] = [_with_environment(line) for line in kept]
    for key, more in (
        ("head_start_ray_commands", f"--node-ip-address={addresses[0]} {SMALL}"),
        ("worker_start_ray_commands", f"--num-cpus=1 {SMALL}"),
    ):
        lines = [_with_environment(line) for line in config[key]]
        config[key] = [line.replace("ray start", f"ray start {more}") for line in lines]
    return config


def _with_environment(line: str) -> str:
    settings = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    return line.replace("export ", f"export {settings} ")


if __name__ == "__main__":
    source = Path(__file__).parents[2] / "ray_cluster_local.yaml"
    content = adapted(yaml.safe_load(source.read_text()), Path(sys.argv[1]), int(sys.argv[2]))
    yaml.safe_dump(content, sys.stdout, sort_keys=False)
