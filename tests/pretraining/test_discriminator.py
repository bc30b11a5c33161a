import math

import pytest
import torch
import torch.nn.functional as F

from gseg.pretraining.discriminator import (
    Discriminator,
    JointDiscriminator,
    _means,
    _nearest,
    cluster,
    conditional_contrastive_loss,
)
from gseg.scenes.pictures import render


def _made(conditioning):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Discriminator(10, conditioning, widths=(8, 12, 16, 24))


@pytest.fixture
def batch():
    random = torch.Generator().manual_seed(1)
    pictures = torch.rand(6, 3, 32, 32, generator=random) * 2 - 1
    return pictures, torch.tensor([0, 1, 1, 3, 9, 0])


def _loop(features, anchors, labels, temperature):
    """Kang and Park 2020, Eq. 8, term by term."""

    def similarity(a, b):
        return math.exp(F.cosine_similarity(a, b, dim=0).item() / temperature)

    terms = []
    for i in range(len(features)):
        own = similarity(features[i], anchors[i])
        others = [j for j in range(len(features)) if j != i]
        same = sum(similarity(features[i], features[j]) for j in others if labels[j] == labels[i])
        every = sum(similarity(features[i], features[j]) for j in others)
        terms.append(-math.log((own + same) / (own + every)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_contrastive_loss_equals_a_loop(temperature):
    random = torch.Generator().manual_seed(2)
    features, anchors = torch.randn(2, 7, 5, generator=random).double()
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 3])
    loss = conditional_contrastive_loss(features, anchors, labels, temperature)
    expected = _loop(features, anchors, labels.tolist(), temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_contrastive_loss_is_lower_for_sorted_classes():
    labels = torch.tensor([0, 0, 1, 1])
    anchors = torch.eye(2)[labels]
    right = conditional_contrastive_loss(anchors, anchors, labels)
    wrong = conditional_contrastive_loss(anchors.flip(1), anchors, labels)
    mixed = conditional_contrastive_loss(anchors[[0, 2, 0, 2]], anchors, labels)
    assert right < wrong
    assert right < mixed
    one_class = conditional_contrastive_loss(anchors, anchors, torch.zeros(4, dtype=torch.int64))
    assert one_class.item() == pytest.approx(0, abs=1e-6)


def test_an_unconditional_judge_ignores_labels(batch):
    pictures, labels = batch
    judge = _made("none").eval()
    logit, extra = judge(pictures, labels)
    assert logit.shape == (6,)
    assert torch.equal(logit, judge(pictures, labels.flip(0))[0])
    assert extra.item() == 0


def test_projection_adds_the_embedded_class(batch):
    pictures, labels = batch
    judge = _made("projection").eval()
    other = (labels + 1) % 10
    difference = judge(pictures, labels)[0] - judge(pictures, other)[0]
    pooled = judge.features(pictures)[1]
    expected = ((judge.embedding(labels) - judge.embedding(other)) * pooled).sum(1)
    assert torch.allclose(difference, expected, atol=1e-5)
    assert judge(pictures, labels)[1].item() == 0


def test_a_classifier_adds_cross_entropy(batch):
    pictures, labels = batch
    judge = _made("classifier").eval()
    logit, extra = judge(pictures, labels)
    scores = judge.classifier(judge.features(pictures)[1])
    picked = scores.log_softmax(1)[torch.arange(6), labels]
    assert extra.item() == pytest.approx(-picked.mean().item(), rel=1e-5)
    assert torch.equal(logit, judge(pictures, labels.flip(0))[0])


def test_a_contrastive_judge_adds_its_loss(batch):
    pictures, labels = batch
    judge = _made("contrastive").eval()
    projected = judge.project(judge.features(pictures)[1])
    expected = conditional_contrastive_loss(projected, judge.embedding(labels), labels)
    assert judge(pictures, labels)[1].item() == pytest.approx(expected.item(), rel=1e-6)


def test_minibatch_spread_tells_equal_pictures_from_different_ones(batch):
    """A picture is judged with its batch: among copies of itself otherwise than among others."""
    pictures, labels = batch
    judge = _made("none").eval()
    among_others = judge(pictures, labels)[0][0]
    among_copies = judge(pictures[:1].expand(6, -1, -1, -1), labels)[0]
    assert torch.allclose(among_copies, among_copies[:1].expand(6), atol=1e-5)
    assert (among_others - among_copies[0]).abs() > 1e-4


@pytest.mark.parametrize("conditioning", ["none", "projection", "classifier", "contrastive"])
def test_weights_are_normalised_and_get_gradients(batch, conditioning):
    judge = _made(conditioning)
    for _ in range(30):
        logit, extra = judge(*batch)
    (logit.mean() + extra).backward()
    for name, weight in judge.named_parameters():
        if "classifier" not in name and "embedding" not in name and "project" not in name:
            assert weight.grad is not None, name
    for layer in (judge.entry, judge.mix, judge.pooled_head):
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
        assert norm == pytest.approx(1, abs=0.05)


def test_the_joint_discriminator_s_scores_look_at_their_own_part(batch):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        judge = JointDiscriminator(5, hidden=16).eval()
    pictures = batch[0]
    latents = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        scores = judge(pictures[:1].expand(6, -1, -1, -1), latents)
        assert scores.shape == (3, 6)
        assert torch.allclose(scores[0], scores[0, 0].expand(6), atol=1e-5)
        assert (scores[1:].std(1) > 0).all()
        scores = judge(pictures, latents[:1].expand(6, -1))
    # the minibatch deviation is the same for all, so only the pictures differ
    assert torch.allclose(scores[1], scores[1, 0].expand(6), atol=1e-5)
    assert (scores[[0, 2]].std(1) > 0).all()


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
    pictures, discriminator = render(range(60)).pictures, _made("none")
    state = {name: value.clone() for name, value in discriminator.state_dict().items()}
    first = cluster(discriminator, pictures, None, 5, seed=1)
    assert torch.equal(first, cluster(discriminator, pictures, None, 5, seed=1))
    assert not torch.equal(first, cluster(discriminator, pictures, None, 5, seed=2))
    again = cluster(discriminator, pictures, first, 5, seed=1)
    assert (again == first).float().mean() > 0.9
    assert discriminator.training
    after = discriminator.state_dict()
    assert all(torch.equal(state[name], after[name]) for name in state)
