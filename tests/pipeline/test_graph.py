"""The graph: nodes are named with the store, made after their parents, and traced back."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gseg.pipeline.graph import Node, Stage, Told, Workshop
from gseg.pipeline.jobs.job import LocalBackend
from gseg.storage.store import Cost, Store


@dataclass(frozen=True, kw_only=True)
class Number(Stage):
    """A number that is the sum of its own and of those that it is made from."""

    stage: ClassVar[str] = "number"

    own: int
    terms: tuple[Node[Any], ...] = ()

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        return {"own": self.own}

    def parents(self, shop: Workshop) -> Sequence[Node[Any] | str]:
        return ["outside", *self.terms]

    def cost(self, shop: Workshop) -> Cost:
        return Cost(seconds=self.own)

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        shop.report("number", self.own, 9)
        return {"sum": self.own + sum(shop.make(each).facts["sum"] for each in self.terms)}


@dataclass(frozen=True, kw_only=True)
class Product(Number):
    stage: ClassVar[str] = "product"
    version: ClassVar[int] = 2


ONE = Number(own=1)
TWO = Number(own=2, terms=(ONE,))
SUM = Product(own=4, terms=(TWO, Number(own=1)), device="cpu")


@pytest.fixture
def made(tmp_path):
    heard = []
    return Workshop(Store(tmp_path), LocalBackend(), lambda *words: heard.append(words[1])), heard


def test_equal_nodes_are_one_and_parents_come_first(made):
    shop, heard = made
    assert list(shop.walk(SUM)) == [ONE, TWO, SUM]
    assert shop.make(SUM).facts == {"sum": 4 + 3 + 1}
    assert heard == [1, 2, 4]
    again = Workshop(Store(shop.store.root), LocalBackend())
    assert again.make(SUM).reused
    assert not again.make(replace(SUM, own=5)).reused


def test_what_is_missing_is_found_without_making_it(made):
    shop, heard = made
    looking = Workshop(Store(shop.store.root, read_only=True))
    assert [node for node in looking.walk(SUM) if looking.find(node) is None] == [ONE, TWO, SUM]
    assert not looking.has_all(SUM)
    assert not list(shop.store.root.iterdir())
    shop.make(TWO)
    assert [node for node in looking.walk(SUM) if looking.find(node) is None] == [SUM]
    shop.make(SUM)
    assert looking.has_all(SUM, None)
    assert heard == [1, 2, 4]


def test_names_say_all_that_shapes_a_node(made):
    shop, _ = made
    others = (
        SUM,
        replace(SUM, own=3),
        replace(SUM, terms=(TWO,)),
        replace(SUM, terms=(TWO, replace(ONE, own=2))),
        replace(SUM, device="cuda"),
        replace(SUM, device=""),
        Number(own=4, terms=SUM.terms, device="cpu"),
    )
    assert len({shop.name(each) for each in others}) == len(others)
    assert shop.name(replace(SUM)) == shop.name(SUM)


def test_a_result_leads_back_to_what_it_was_made_from(made):
    shop, _ = made
    shop.make(SUM)
    told = Told.of(shop.store, shop.name(SUM), "number", "product")
    assert (told.stage, told.config["own"]) == ("product", 4)
    assert told.parent("product", "number").folder == shop.folder(TWO)
    assert told.parent("number").parent("number").config == {"own": 1}
    with pytest.raises(FileNotFoundError, match="has no product"):
        told.parent("product")
    with pytest.raises(FileNotFoundError, match="No number"):
        Told.of(shop.store, shop.name(SUM), "number")


def test_a_report_stays_behind_when_work_travels(made):
    shop, heard = made
    shop.report_here("number", 3, 9)
    pickle.loads(pickle.dumps(shop.report_here))("number", 4, 9)
    assert heard == [3]
