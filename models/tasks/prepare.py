"""From what a user names (task, model, preset, changes) to what `train` takes: the loaded task, a configuration, a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..choices import choice, did_you_mean
from ..errors import ModelError
from ..recipes import Recipe
from .networks import network_for
from .presets import task_preset

if TYPE_CHECKING:
    from ..astromorphic import AstromorphicConfig
    from .base import Task

NETWORKS = {
    "language": "causal_lm", "text_classification": "sequence", "image_classification": "image",
    "sequence_classification": "sequence",
}  # fmt: skip
# The name by which people ask for our own variant.
OURS = {"astromorphic": "tuned"}


class Prepared(NamedTuple):
    """What `models.train` takes, and the options that the task's data were prepared with."""

    task: Task
    config: AstromorphicConfig
    recipe: Recipe
    options: dict[str, Any]


def model_names() -> list[str]:
    """What `--model` takes: "astromorphic" (ours), the paper's readings and all controls."""
    from ..astromorphic.presets import PRESETS

    return [*OURS, *(name for name in PRESETS if name not in OURS.values())]


def prepare(
    task: str,
    model: str = "astromorphic",
    preset: str = "tuned",
    *,
    data: Any = None,
    macro: Any = None,
    changes: Mapping[str, Any] | None = None,
    loaded: Task | None = None,
) -> Prepared:
    """Load the task and put its preset, the model's and the user's changes together.

    changes : settings of the model, the recipe or the data, by name; each name belongs to one of the three. macro : a macro
    file whose response our variant uses. loaded : the task of an earlier call with the same task, data and options, which is not
    read again. Names and the preset are checked before data are read.
    """
    from .loading import family, kind_of, load, option_names

    which = family(task)
    chosen = task_preset(which, preset)
    architecture = model if model in OURS.values() else choice("model", model, model_names())
    architecture = OURS.get(architecture, architecture)
    if macro is not None and architecture != "tuned":
        raise ModelError(f"model is {model!r} and a macro file is given; its response is used by 'astromorphic' alone")

    if which == "lra_retrieval":
        # Pairs always; known before gigabytes are read.
        network_for("astromorphic", which, True)

    recipe_names, data_names = [name for name in Recipe.names() if name != "name"], option_names(task)
    from ..astromorphic import AstromorphicConfig

    model_settings = list(AstromorphicConfig().settings())
    for name in changes or {}:
        if name not in (every := [*model_settings, *recipe_names, *data_names]):
            raise ModelError(
                f"unknown setting of the model, the recipe or the data {name!r}: {did_you_mean(name, every)}choose from "
                f"{', '.join(sorted(model_settings))}; {', '.join(recipe_names)}; {', '.join(data_names) or 'no data options'}"
            )
    given = dict(changes or {})
    # The data's word first: `train`, `test` and `text` of a table are no settings of anything else.
    for_data = {name: given.pop(name) for name in list(given) if name in data_names}
    for_recipe = {name: given.pop(name) for name in list(given) if name in recipe_names}
    recipe = chosen.recipe.changed(for_recipe)

    options = {**chosen.data, **for_data}
    if loaded is None:
        loaded = load(task, data, **options)
    settings = {**chosen.model, **loaded.settings(), **given}
    if "hidden_size" in given or "num_attention_heads" in given:
        # The preset's width per head belongs to its own size.
        settings = {k: v for k, v in settings.items() if k != "hidden_dim" or k in given}
    network = NETWORKS[kind_of(task)]
    if macro is not None:
        config = AstromorphicConfig.from_macro(macro, network=network, **settings)
    else:
        config = AstromorphicConfig.from_preset(architecture, network=network, **settings)
    return Prepared(loaded, config, recipe, options)
