"""Every setting of a trial, written once.

A `Setting` says where a setting stands in an `Experiment`, under which column and heading people
meet it, and under which name sweeps and searches vary it. What it means is the docstring of the
config's field, its type and known words are the field's annotation. Columns of result rows, labels
of trials, the settings in which a report's rows differ, options, spaces and ``results/README.md``
follow from `SETTINGS`: a new setting is a field of a config and a line there.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from functools import cache
from types import MappingProxyType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from gseg.directions.config import ChoiceConfig
from gseg.pipeline.experiment import TRAINED, Experiment
from gseg.samples.config import FilterPreset, SampleConfig, filter_preset, filter_preset_name
from gseg.segmenters.config import FitConfig

Value = str | int | float
Kind = Literal["number", "count", "flag", "word"]

_KINDS: Final[Mapping[object, Kind]] = {float: "number", int: "count", bool: "flag", str: "word"}


@dataclass(frozen=True, slots=True)
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
    _: KW_ONLY
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
        # Told to people, who need the meaning of both where one column holds either.
        found = [_field(path)[0] for path in (self.path, self.or_path) if path]
        return " Or, of a chosen direction: ".join(found)

    @property
    def kind(self) -> Kind:
        """What its values are."""
        # What `shown` makes of a config is its preset's name.
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

    @property
    def is_of_directions(self) -> bool:
        """Whether it means something where nothing but a direction is searched."""
        return self.path.startswith("search.") or self.axis in ("generator", "seed")

    def stands_in(self, trial: object) -> bool:
        """Whether it means something to an `Experiment`, or to what has some of its fields."""
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
        # A field is absent where the config above it is None, or is of the union's other kind.
        for path in filter(None, (self.path, self.or_path)):
            found: Any = trial
            for name in path.split("."):
                if not hasattr(found, name):
                    break
                found = getattr(found, name)
            else:
                return (found,)  # in a tuple: a field whose value is None does stand there
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
    """
    head, _, rest = path.partition(".")
    if not rest:
        return change(config, head)
    return replace(config, **{head: replaced(getattr(config, head), rest, change)})


def _axis(path: str, column: str, **more: Any) -> Setting:  # noqa: ANN401
    """Write down a setting that sweeps vary under the name of its column."""
    return Setting(path, column, axis=column, **more)


_GAN: Final = ("gan",)

SETTINGS: Final = (
    Setting("method", "method"),
    Setting("recipe", "recipe"),
    _axis("generator", "generator", option="generators"),
    # What others depend on comes before them.
    Setting("search.way", axis="direction", grid_path="direction"),
    Setting("search.objective", "objective", or_path="search.rule"),
    Setting(
        "search.candidates.kind",
        "candidate_directions",
        axis="candidates",
        grid_path="choice",
        turn=lambda grid, kind: grid.with_candidates(kind),
    ),
    _axis("search.contrast_weight", "contrast_weight", heading="λ", digits=-1),
    Setting("search.centre_prior", "centre_prior"),
    Setting(
        "search.epsilon",
        "epsilon_search",
        heading="ε of the search",
        digits=-1,
        axis="epsilon",
        varies="Length ε > 0 of the latent shift, in the search and for the masks alike.",
        grid_path="search",
        turn=lambda grid, epsilon: grid.with_epsilon(epsilon),
    ),
    _axis(
        "samples.epsilon",
        "epsilon_sample",
        heading="ε",
        digits=-1,
        option="sample-epsilon",
        grid_path="sample_epsilon",
    ),
    _axis("search.steps", "search_steps"),
    _axis("search.learning_rate", "search_learning_rate"),
    Setting("search.batch", "search_batch"),
    _axis("mask_kind", "mask_kind", heading="masks", methods=_GAN),
    Setting("samples.mask_rule", "mask_rule"),
    _axis("samples.mask_threshold", "mask_threshold", heading="threshold"),
    _axis("rule", "rule", option="rules", searched=False, methods=("distilled",)),
    _axis(
        "samples.filters",
        "filters",
        words=get_args(FilterPreset),
        shown=filter_preset_name,
        turn=lambda samples, name: replace(samples, filters=filter_preset(name)),
    ),
    _axis("samples.filters.min_share", "min_share"),
    _axis("samples.filters.max_share", "max_share"),
    _axis("samples.filters.component_share", "component_share"),
    _axis("samples.filters.min_contrast", "min_contrast"),
    _axis("samples.filters.min_roundness", "min_roundness"),
    Setting("samples.latents.source", "latent_source"),
    _axis("samples.latents.alpha", "alpha", heading="α", digits=-1, needs_embeddings=True),
    _axis("samples.latents.truncation", "truncation"),
    Setting("samples.latents.drawn_classes", "classes"),
    Setting("selection.folder", "selection"),
    Setting("selection.candidates", "selected_from"),
    Setting("labeller.name", "labeller"),
    Setting("labelled.benchmark", "labelled_set"),
    Setting("labelled.count", "labelled_size"),
    Setting("labelled.weight", "labelled_weight"),
    _axis("data_size", "data_size", heading="samples", methods=TRAINED),
    Setting("train_resolution", "train_resolution", methods=TRAINED),
    _axis("training.steps", "train_steps", turn=FitConfig.with_steps),
    _axis("training.learning_rate", "train_learning_rate"),
    Setting("training.decay_at", "train_decay_at"),
    _axis("training.batch", "train_batch"),
    _axis("training.width", "train_width"),
    _axis("training.depth", "train_depth"),
    _axis("training.precision", "train_precision"),
    Setting("train_preset", "train_preset", heading="training", methods=TRAINED),
    Setting("training.replicas", "train_replicas"),
    Setting("labelled.seed", "labelled_seed"),
    Setting("search.seed", "direction_seed"),
    Setting("samples.seed", "sample_seed"),
    Setting(
        "training.seed",
        "train_seed",
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
    """Read all settings of a trial, by column; None for those that mean nothing to it."""
    return {name: each.value(trial) for name, each in columns().items()}


@cache
def _field(path: str) -> tuple[str, Kind, tuple[str, ...]]:
    """Say what a field of an experiment means, of what kind it is, and which words it knows."""
    *above, name = path.split(".")
    # Of unions (a direction is optimised or chosen) the first kind that has the field tells it.
    owners: list[type] = [Experiment]
    for step in above:
        hints = [_hint(owner, step) for owner in owners]
        owners = [kind for hint in hints if hint is not None for kind in _members(hint)]
    owner = next(each for each in owners if _hint(each, name) is not None)
    members = _members(_hint(owner, name))
    literals = (get_args(each) for each in members if get_origin(each) is Literal)
    words = tuple(word for each in literals for word in each if isinstance(word, str))
    # Words first: a field may be one of some words or a number.
    known = [] if words else [_KINDS[each] for each in members if each in _KINDS]
    return _meaning(owner, name), known[0] if known else "word", words


def _hint(owner: type, name: str) -> Any:  # noqa: ANN401 a type, or a form of typing's
    """Give the annotation of a field or property; None if there is no such one."""
    # Static: a slot's descriptor or a property itself, not what calling it would give.
    found = inspect.getattr_static(owner, name, None)
    if isinstance(found, property):
        return get_type_hints(found.fget)["return"]
    return get_type_hints(owner).get(name)


def _members(hint: Any) -> list[Any]:  # noqa: ANN401
    """Give the types of a union, without None; of any other type itself."""
    if get_origin(hint) in (Union, UnionType):
        return [each for part in get_args(hint) for each in _members(part)]
    return [] if hint is type(None) else [hint]


def _meaning(owner: type, name: str) -> str:
    """Find what a field's docstring says; of a property its own."""
    found = inspect.getattr_static(owner, name, None)
    told = found.__doc__ if isinstance(found, property) else _field_docs(owner)[name]
    assert told is not None
    return " ".join(told.split())


@cache
def _field_docs(owner: type) -> Mapping[str, str]:
    """Read the lines of a class's docstring that name its fields."""
    lines = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", inspect.getdoc(owner) or "", re.MULTILINE)
    return dict(lines)
