import copy
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

_FILE = Path(__file__).parents[2] / "ray_cluster.yaml"


@pytest.fixture
def config():
    return yaml.safe_load(_FILE.read_text())


def test_the_cluster_file_passes_rays_schema(config):
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    head = prepared["available_node_types"][prepared["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert prepared["provider"]["type"] == "aws"


def test_the_schema_check_would_notice_a_typo(config):
    config["idle_timeout_minuts"] = 3
    with pytest.raises(Exception, match="idle_timeout_minuts"):
        validate_config(prepare_config(config))
