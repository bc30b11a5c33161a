"""Cluster files: their schema, and what the AWS provider asks of a mock; never further."""

import copy
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

_ROOT = Path(__file__).parents[2]
_TOKEN = "~/.ray/auth_token"


def _load(name):
    return yaml.safe_load((_ROOT / name).read_text())


@pytest.fixture
def config():
    return _load("ray_cluster.yaml")


@pytest.mark.parametrize("name", ["ray_cluster.yaml", "ray_cluster_local.yaml"])
def test_a_cluster_file_passes_rays_schema_and_asks_for_a_token(name):
    config = _load(name)
    validate_config(prepare_config(copy.deepcopy(config)))
    assert config["file_mounts"] == {"~/gseg": ".", _TOKEN: _TOKEN}
    starts = [
        command
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        for command in config[key]
        if "ray start" in command
    ]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert any("RAY_AUTH_MODE=token" in command for command in config["setup_commands"])
    assert any("-e ~/gseg -c ~/gseg/constraints.txt" in line for line in config["setup_commands"])
    assert config["idle_timeout_minutes"] > 0


def test_the_schema_check_would_notice_a_typo(config):
    config["idle_timeout_minuts"] = 3
    with pytest.raises(Exception, match="idle_timeout_minuts"):
        validate_config(prepare_config(config))


def test_the_head_takes_no_trial_and_workers_come_from_zero(config):
    prepared = prepare_config(copy.deepcopy(config))
    types = prepared["available_node_types"]
    assert types[prepared["head_node_type"]]["resources"] == {"CPU": 0}
    worker = types["gpu_spot"]
    assert worker["resources"]["GPU"] == 1
    assert worker["min_workers"] == 0
    assert worker["max_workers"] == prepared["max_workers"] == 8
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    zones = prepared["provider"]["availability_zone"].split(",")
    assert len(set(zones)) == 2
    assert all(zone.startswith(prepared["provider"]["region"]) for zone in zones)


def test_the_local_head_takes_no_trial():
    (start,) = (
        c for c in _load("ray_cluster_local.yaml")["head_start_ray_commands"] if "--head" in c
    )
    assert "--num-cpus=0 --num-gpus=0" in start


@pytest.fixture
def aws_home(object_store, tmp_path, monkeypatch):
    """A mock of AWS with the two instance profiles, and a home for the key pair."""
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("moto.ec2", reason="moto is not installed")
    for name, value in {
        "AWS_ENDPOINT_URL": object_store,
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-west-2",
        "HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".ssh").mkdir()
    iam = boto3.client("iam")
    for profile in ("gseg-head", "gseg-worker"):
        iam.create_instance_profile(InstanceProfileName=profile)
    yield
    for profile in ("gseg-head", "gseg-worker"):
        iam.delete_instance_profile(InstanceProfileName=profile)


def _labels(kind, role):
    from ray.autoscaler import tags

    return {
        tags.TAG_RAY_CLUSTER_NAME: "gseg",
        tags.TAG_RAY_NODE_KIND: role,
        tags.TAG_RAY_USER_NODE_TYPE: kind,
        tags.TAG_RAY_NODE_NAME: kind,
    }


def _instances():
    import boto3

    found = boto3.client("ec2").describe_instances()["Reservations"]
    every = [instance for each in found for instance in each["Instances"]]
    return [each for each in every if each["State"]["Name"] == "running"]


def test_what_the_provider_asks_of_aws(config, aws_home, monkeypatch):
    """A head, then workers, first where the first zone has room and then where it has none."""
    from botocore.exceptions import ClientError
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    ready = bootstrap_aws(prepare_config(copy.deepcopy(config)))
    provider = AWSNodeProvider(ready["provider"], ready["cluster_name"])
    types = ready["available_node_types"]
    provider.create_node(types["head"]["node_config"], _labels("head", "head"), 1)
    worker = (types["gpu_spot"]["node_config"], _labels("gpu_spot", "worker"))
    provider.create_node(*worker, 1)
    create, full = provider.ec2_fail_fast.create_instances, worker[0]["SubnetIds"][0]

    def refuse(**settings):
        if settings["SubnetId"] == full:
            raise ClientError({"Error": {"Code": "InsufficientInstanceCapacity"}}, "RunInstances")
        return create(**settings)

    monkeypatch.setattr(provider.ec2_fail_fast, "create_instances", refuse)
    provider.create_node(*worker, 1)
    found = _instances()
    spot = [each for each in found if each.get("InstanceLifecycle") == "spot"]
    (head,) = (each for each in found if each not in spot)
    assert [each["InstanceType"] for each in (head, *spot)] == [
        "m7i.xlarge",
        "g6.xlarge",
        "g6.xlarge",
    ]
    profiles = [each["IamInstanceProfile"]["Arn"].rpartition("/")[2] for each in (head, *spot)]
    assert profiles == ["gseg-head", "gseg-worker", "gseg-worker"]
    zones = sorted(each["Placement"]["AvailabilityZone"] for each in spot)
    assert zones == ["us-west-2a", "us-west-2b"]
    provider.terminate_nodes(provider.non_terminated_nodes({}))
    assert _instances() == []


def test_the_kuberay_job_is_what_the_operator_expects():
    job = _load("kuberay_rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert "--address auto" in spec["entrypoint"]
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert head["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
    assert (workers["minReplicas"], workers["replicas"]) == (0, 0)
    assert f"--concurrency {workers['maxReplicas']}" in spec["entrypoint"]
    for group, name in ((head, "ray-head"), (workers, "ray-worker")):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["name"] == name
        assert container["resources"]["limits"] == container["resources"]["requests"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]


def test_the_versions_in_the_files_are_those_that_the_tests_pass_with():
    pinned = dict(
        line.split("==") for line in (_ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    job = _load("kuberay_rayjob.yaml")
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned["ray"]
