"""Every setting of a trial, written once.

A `Setting` says where a setting stands in an `Experiment`, under which column and heading people
meet it, and under which name sweeps and searches vary it. What it means is the docstring of the
config's field, its type and known words are the field's annotation. Columns of result rows, labels
of trials, the settings in which a report's rows differ, options, spaces and ``results/README.md``
follow from `SETTINGS`: a new setting is a field of a config and a line there.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from gseg.directions.config import ChoiceConfig
from gseg.pipeline.experiment import Experiment
from gseg.samples.config import FilterPreset, SampleConfig, filter_preset, filter_preset_name
from gseg.segmenters.config import FitConfig

Value = str | int | float
Kind = Literal["number", "count", "flag", "word"]

_KINDS: Final[Mapping[object, Kind]] = {float: "number", int: "count", bool: "flag", str: "word"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting of a trial.

    Attributes:
        path: Where it stands in an experiment, such as ``samples.epsilon``: fields or properties.
        column: Of result rows; empty for none.
        or_path: Where it stands in an experiment that has not got `path`.
        heading: What people read; by default the column's words.
        digits: Decimal places in tables, -1 for as many as needed; None for the table's own.
        axis: Name by which sweeps and searches vary it; empty if they do not.
        varies: What the axis changes, where that is more than this field.
        option: Of the command line, without dashes; by default the axis.
        searched: Whether searches vary it as sweeps do.
        methods: Those of trials to which it means something; empty for all.
        grid_path: Where it stands in a sweep's grid; by default `path`.
        words: Known words; by default those of the annotation, empty where any may be given.
        shown: Makes of the field's value what rows, spaces and options hold.
        turn: Gives what holds the field at `grid_path` with another value; by default the field
            is replaced.
        needs_embeddings: Whether it means something only where latents lie near embeddings.
    """

    path: str
    column: str = ""
    or_path: str = ""
    heading: str = ""
    digits: int | None = None
    axis: str = ""
    varies: str = ""
    option: str = ""
    searched: bool = True
    methods: tuple[str, ...] = ()
    grid_path: str = ""
    words: tuple[str, ...] = ()
    shown: Callable[[Any], Value | None] | None = None
    turn: Callable[[Any, Any], Any] | None = None
    needs_embeddings: bool = False

    @property
    def is_seed(self) -> bool:
        """Whether it is a seed: trials that differ in nothing else repeat each other."""
        return self.path.endswith(".seed")

    @property
    def flag(self) -> str:
        """Its option on the command line."""
        return "--" + (self.option or self.axis).replace("_", "-")

    @property
    def meaning(self) -> str:
        """What it means: the docstring of its field, in one line."""
        found = [_field(path)[0] for path in (self.path, self.or_path) if path]
        return " Or, of a chosen direction: ".join(found)

    @property
    def kind(self) -> Kind:
        """What its values are."""
        return "word" if self.shown is not None else _field(self.path)[1]

    @property
    def known_words(self) -> tuple[str, ...]:
        """The words that may be given; empty where any may."""
        return self.words or _field(self.path)[2]

    @property
    def is_of_optimised(self) -> bool:
        """Whether it means something to optimised directions only."""
        head, *below = self.path.split(".")
        return head == "search" and not hasattr(ChoiceConfig, below[0])

    def stands_in(self, trial: object) -> bool:
        """Whether it means something to a trial.

        Args:
            trial: An `Experiment`, or what has some of its fields, such as a `DirectionTrial`.
        """
        return self._found(trial) is not None

    def value(self, trial: object) -> Value | None:
        """Read it as rows, spaces and options hold it; None where it has no value."""
        found = self._found(trial)
        value: Value | None = None if found is None else found[0]
        return value if value is None or self.shown is None else self.shown(value)

    def _found(self, trial: object) -> tuple[Any] | None:
        if self.methods and getattr(trial, "method", "") not in self.methods:
            return None
        if self.needs_embeddings and not lie_near_embeddings(getattr(trial, "samples", None)):
            return None
        for path in filter(None, (self.path, self.or_path)):
            found: Any = trial
            for name in path.split("."):
                if not hasattr(found, name):
                    break
                found = getattr(found, name)
            else:
                return (found,)
        return None


def lie_near_embeddings(samples: SampleConfig | None) -> bool:
    """Whether latents lie near the embeddings of real pictures."""
    return samples is not None and samples.latents.source == "embeddings"


def replaced(config: Any, path: str, change: Callable[[Any, str], Any]) -> Any:  # noqa: ANN401 any dataclass
    """Change what holds a field of nested configs.

    Args:
        config: A frozen dataclass.
        path: Of the field, such as ``samples.filters.max_share``.
        change: Gets the config that holds the field and the field's name, gives another config.

    Returns:
        The same with the change.
    """
    head, _, rest = path.partition(".")
    if not rest:
        return change(config, head)
    return replace(config, **{head: replaced(getattr(config, head), rest, change)})


def _preset_filters(samples: SampleConfig, name: FilterPreset) -> SampleConfig:
    return replace(samples, filters=filter_preset(name))


_GAN: Final = ("gan",)
_TRAINED: Final = ("gan", "true_masks")

SETTINGS: Final = (
    Setting(path="method", column="method"),
    Setting(path="recipe", column="recipe"),
    Setting(path="generator", column="generator", axis="generator", option="generators"),
    # What others depend on comes before them.
    Setting(path="search.way", axis="direction", grid_path="direction"),
    Setting(path="search.objective", or_path="search.rule", column="objective"),
    Setting(
        path="search.candidates.kind",
        column="candidate_directions",
        axis="candidates",
        grid_path="choice",
        turn=lambda grid, kind: grid.with_candidates(kind),
    ),
    Setting(
        path="search.contrast_weight",
        column="contrast_weight",
        heading="λ",
        digits=-1,
        axis="contrast_weight",
    ),
    Setting(path="search.centre_prior", column="centre_prior"),
    Setting(
        path="search.epsilon",
        column="epsilon_search",
        heading="ε of the search",
        digits=-1,
        axis="epsilon",
        varies="Length ε > 0 of the latent shift, in the search and for the masks alike.",
        grid_path="search",
        turn=lambda grid, epsilon: grid.with_epsilon(epsilon),
    ),
    Setting(
        path="samples.epsilon",
        column="epsilon_sample",
        heading="ε",
        digits=-1,
        axis="epsilon_sample",
        option="sample-epsilon",
        grid_path="sample_epsilon",
    ),
    Setting(path="search.steps", column="search_steps", axis="search_steps"),
    Setting(
        path="search.learning_rate", column="search_learning_rate", axis="search_learning_rate"
    ),
    Setting(path="search.batch", column="search_batch"),
    Setting(path="mask_kind", column="mask_kind", heading="masks", axis="mask_kind", methods=_GAN),
    Setting(path="samples.mask_rule", column="mask_rule"),
    Setting(
        path="samples.filters",
        column="filters",
        axis="filters",
        words=get_args(FilterPreset),
        shown=filter_preset_name,
        turn=_preset_filters,
    ),
    Setting(path="samples.filters.min_share", column="min_share", axis="min_share"),
    Setting(path="samples.filters.max_share", column="max_share", axis="max_share"),
    Setting(
        path="samples.filters.component_share", column="component_share", axis="component_share"
    ),
    Setting(path="samples.filters.min_contrast", column="min_contrast", axis="min_contrast"),
    Setting(path="samples.filters.min_roundness", column="min_roundness", axis="min_roundness"),
    Setting(path="samples.latents.source", column="latent_source"),
    Setting(
        path="samples.latents.alpha",
        column="alpha",
        heading="α",
        digits=-1,
        axis="alpha",
        needs_embeddings=True,
    ),
    Setting(path="samples.latents.truncation", column="truncation", axis="truncation"),
    Setting(path="samples.latents.drawn_classes", column="classes"),
    Setting(path="selection.folder", column="selection"),
    Setting(path="selection.candidates", column="selected_from"),
    Setting(path="labeller.name", column="labeller"),
    Setting(path="labelled.benchmark", column="labelled_set"),
    Setting(path="labelled.count", column="labelled_size"),
    Setting(path="labelled.weight", column="labelled_weight"),
    Setting(
        path="data_size", column="data_size", heading="samples", axis="data_size", methods=_TRAINED
    ),
    Setting(path="train_resolution", column="train_resolution", methods=_TRAINED),
    Setting(
        path="training.steps", column="train_steps", axis="train_steps", turn=FitConfig.with_steps
    ),
    Setting(
        path="training.learning_rate", column="train_learning_rate", axis="train_learning_rate"
    ),
    Setting(path="training.decay_at", column="train_decay_at"),
    Setting(path="training.batch", column="train_batch", axis="train_batch"),
    Setting(path="training.width", column="train_width", axis="train_width"),
    Setting(path="training.depth", column="train_depth", axis="train_depth"),
    Setting(path="training.precision", column="train_precision", axis="train_precision"),
    Setting(path="train_preset", column="train_preset", heading="training", methods=_TRAINED),
    Setting(path="training.replicas", column="train_replicas"),
    Setting(path="labelled.seed", column="labelled_seed"),
    Setting(path="search.seed", column="direction_seed"),
    Setting(path="samples.seed", column="sample_seed"),
    Setting(
        path="training.seed",
        column="train_seed",
        axis="seed",
        varies="Seed of a whole trial, 0 or more; all stages draw theirs from it.",
        option="seeds",
        searched=False,
    ),
)
"""All settings that a row tells, in the order in which people look at them."""


def axes() -> Mapping[str, Setting]:
    """Give the settings that sweeps vary, by their axis; those that others depend on come first."""
    return MappingProxyType({each.axis: each for each in SETTINGS if each.axis})


def columns() -> Mapping[str, Setting]:
    """Give the settings that have a column of result rows, by that."""
    return MappingProxyType({each.column: each for each in SETTINGS if each.column})


def setting_values(trial: object) -> dict[str, Value | None]:
    """Read all settings of a trial.

    Args:
        trial: See `Setting.stands_in`.

    Returns:
        Values by column; None for settings that mean nothing to the trial.
    """
    return {name: each.value(trial) for name, each in columns().items()}


@cache
def _field(path: str) -> tuple[str, Kind, tuple[str, ...]]:
    """Say what a field of an experiment means, of what kind it is, and which words it knows."""
    *above, name = path.split(".")
    owners: list[type] = [Experiment]
    for step in above:
        hints = [_hint(owner, step) for owner in owners]
        owners = [kind for hint in hints if hint is not None for kind in _members(hint)]
    owner = next(each for each in owners if _hint(each, name) is not None)
    members = _members(_hint(owner, name))
    words = tuple(word for each in members for word in _literals(each))
    kind: Kind = (
        "word" if words else next((_KINDS[each] for each in members if each in _KINDS), "word")
    )
    return _meaning(owner, name), kind, words


def _hint(owner: type, name: str) -> Any:  # noqa: ANN401 a type, or a form of typing's
    """Give the annotation of a field or property; None if there is no such one."""
    found = inspect.getattr_static(owner, name, None)
    if isinstance(found, property):
        return get_type_hints(found.fget)["return"]
    return get_type_hints(owner).get(name)


def _members(hint: Any) -> list[Any]:  # noqa: ANN401
    """Give the types of a union, without None; of any other type itself."""
    if get_origin(hint) in (Union, UnionType):
        return [each for part in get_args(hint) for each in _members(part)]
    return [] if hint is type(None) else [hint]


def _literals(hint: Any) -> Iterator[str]:  # noqa: ANN401
    if get_origin(hint) is Literal:
        yield from (word for word in get_args(hint) if isinstance(word, str))


def _meaning(owner: type, name: str) -> str:
    """Find a field's lines in its class's docstring; of a property its own docstring."""
    found = inspect.getattr_static(owner, name, None)
    if isinstance(found, property):
        return inspect.getdoc(found) or ""
    text = inspect.getdoc(owner) or ""
    told = re.search(rf"^    {name}: (.*(?:\n     .*)*)", text, flags=re.MULTILINE)
    if told is None:
        raise TypeError(f"{owner.__name__}.{name} has no line in the docstring of its class.")
    return " ".join(told[1].split())
