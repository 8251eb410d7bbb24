"""From what a user names (task, model, preset, changes) to what `train` takes: the loaded task, a configuration, a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..choices import choice, did_you_mean
from ..errors import ModelError
from ..recipes import Recipe
from . import segmented
from .networks import network_for
from .presets import SPIKING, task_preset

if TYPE_CHECKING:
    from ..astromorphic import AstromorphicConfig
    from .base import Task

NETWORKS = {
    "language": "causal_lm", "text_classification": "sequence", "image_classification": "image",
    "sequence_classification": "sequence",
}  # fmt: skip
# The name by which people ask for our own variant.
OURS = {"astromorphic": "tuned"}
# The control that is no network: see `models.bag_training`.
BAG_OF_WORDS = "bag_of_words"
# RMAAT's layer in the transformer that reads a text in one piece; `rmaat` by itself is the whole network, see `segmented`.
LAYERS = {"rmaat_layer": "rmaat"}


class Prepared(NamedTuple):
    """What `models.train` takes, and the options that the task's data were prepared with."""

    task: Task
    config: AstromorphicConfig
    recipe: Recipe
    options: dict[str, Any]


def model_names() -> list[str]:
    """What `--model` takes: "astromorphic" (ours), the paper's readings, all controls, and the networks of other papers."""
    from ..astromorphic.presets import PRESETS
    from ..rmaat.presets import MODELS

    hidden = {*OURS.values(), *LAYERS.values()}
    return [*OURS, SPIKING, *MODELS, *LAYERS, *(name for name in PRESETS if name not in hidden)]


def prepare(
    task: str,
    model: str = "astromorphic",
    preset: str = "tuned",
    *,
    data: Any = None,
    macro: Any = None,
    changes: Mapping[str, Any] | None = None,
    loaded: Task | None = None,
    start: Any = None,
) -> Prepared:
    """Load the task and put its preset, the model's and the user's changes together.

    changes : settings of the model, the recipe or the data, by name; each name belongs to one of the three. macro : a macro
    file whose response our variant uses, and whose retention networks with a memory use. loaded : the task of an earlier call
    with the same task, data and options, which is not read again. start : folder of a saved language model, whose
    architecture and tokens are then taken, so that training can begin with its weights (`models.train`, start). Names and the
    preset are checked before data are read.
    """
    from .loading import family, kind_of, load, option_names, resolve

    task, data = resolve(task, data)
    which = family(task)
    chosen = task_preset(which, preset, model)
    if model == BAG_OF_WORDS:
        raise ModelError(f"model is {model!r}, which is no network; train it with models.train_bag_of_words")
    architecture = model if model in OURS.values() else choice("model", model, [*model_names(), BAG_OF_WORDS])
    model_type = (
        segmented.TYPE if architecture in segmented.names() else SPIKING if architecture == SPIKING else "astromorphic"
    )
    architecture = {**OURS, **LAYERS}.get(architecture, architecture)
    if macro is not None and model_type == "astromorphic" and architecture != "tuned":
        raise ModelError(
            f"model is {model!r} and a macro file is given; it is used by 'astromorphic' (its response), {SPIKING!r} (its "
            f"time constants) and {', '.join(segmented.with_memory())} (its retention) alone"
        )
    from ..decoders import check_language_model, config_class, type_in

    if model_type == SPIKING:
        check_language_model(kind_of(task), model)
    if model_type == segmented.TYPE:
        segmented.check(model, kind_of(task), macro is not None)

    if which == "lra_retrieval":
        # Pairs always; known before gigabytes are read.
        network_for(model_type, which, True)

    begun = None
    if start is not None:
        from ..start import start_config, start_tokens

        begun = start_config(start)
        if macro is not None or type_in(Path(start)) != (SPIKING if architecture == SPIKING else "astromorphic"):
            raise ModelError(
                f"model is {model!r} and start a {begun.model_type} in {start}, whose architecture is taken as it is; name the "
                "model that it holds and no macro file"
            )
        check_language_model(kind_of(task), f"{begun.model_type} in {start}")
    recipe_names, data_names = [name for name in Recipe.names() if name != "name"], option_names(task)
    kind = config_class(model_type)
    model_settings = segmented.settings() if model_type == segmented.TYPE else list(kind().settings())
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
    if begun is not None and "tokens" in data_names and "tokens" not in for_data:
        options["tokens"] = start_tokens(start) or options.get("tokens", "bytes")
    if loaded is None:
        loaded = load(task, data, **options)
    if model_type == segmented.TYPE:
        return Prepared(loaded, segmented.configured(model, which, loaded, chosen.model, given, macro), recipe, options)
    if begun is not None:
        config = kind(**{**begun.settings(), **given})
        if begun.macro is not None:
            config.carry(begun.macro)
        return Prepared(loaded, config, recipe, options)
    settings = {**chosen.model, **loaded.settings(), **given}
    if "vocab_size" in chosen.model and "vocab_size" not in given:
        # Tables padded to more rows than there are tokens.
        settings["vocab_size"] = max(int(chosen.model["vocab_size"]), int(settings["vocab_size"]))
    if "hidden_size" in given or "num_attention_heads" in given:
        # The preset's width per head belongs to its own size.
        settings = {k: v for k, v in settings.items() if k != "hidden_dim" or k in given}
    network = NETWORKS[kind_of(task)]
    if macro is not None:
        config = kind.from_macro(macro, network=network, **settings)
    elif architecture == SPIKING:
        config = kind(**settings)
    else:
        config = kind.from_preset(architecture, network=network, **settings)
        if "query_key_init" not in given and (config.mixer == "softmax" or config.feature_map != "elu"):
            # A recipe's sharper start is for elu + 1; an exponential of products nine times as large would begin saturated.
            config = kind.from_preset(architecture, network=network, **{**settings, "query_key_init": 1.0})
    return Prepared(loaded, config, recipe, options)
