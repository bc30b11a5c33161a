import torch

from gseg.pretraining.clusters import _means, _nearest, cluster
from gseg.pretraining.discriminator import Discriminator
from gseg.scenes.pictures import render


def _discriminator():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Discriminator(3, widths=(8, 8, 8, 8))


def test_k_means_steps_are_those_of_a_loop():
    table = torch.tensor([[0.0, 0.0], [0.0, 1.0], [4.0, 0.0], [5.0, 0.0]])
    means = _means(table, torch.tensor([0, 0, 1, 1]), 2)
    assert means.tolist() == [[0.0, 0.5], [4.5, 0.0]]
    assert _nearest(table, torch.tensor([[0.0, 0.0], [4.4, 0.0]])).tolist() == [0, 0, 1, 1]


def test_a_cluster_without_pictures_takes_the_farthest_one():
    table = torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0]])
    means = _means(table, torch.tensor([0, 0, 0]), 2)
    assert means[1].tolist() == [9.0, 0.0]


def test_clusters_depend_on_the_seed_and_keep_their_numbers():
    pictures, discriminator = render(range(60)).pictures, _discriminator()
    state = {name: value.clone() for name, value in discriminator.state_dict().items()}
    first = cluster(discriminator, pictures, None, 5, seed=1)
    assert torch.equal(first, cluster(discriminator, pictures, None, 5, seed=1))
    assert not torch.equal(first, cluster(discriminator, pictures, None, 5, seed=2))
    again = cluster(discriminator, pictures, first, 5, seed=1)
    assert (again == first).float().mean() > 0.9
    assert discriminator.training
    after = discriminator.state_dict()
    assert all(torch.equal(state[name], after[name]) for name in state)
