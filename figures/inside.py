"""A look inside a language model over one prompt, after Figure 5 of AstroSNN (arXiv 2312.07625).

A: how much every token adds to a layer's membranes at every later token, with the astrocyte's term and with the neuron's leak
alone. B: which neurons fire at which token. C: causal tracing: noise on the embeddings of the subject, one quantity of one
layer at one token put back, and the probability of the answer then.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .style import GREY, PUBLISHED, RED, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "a look inside: weights with and without the astrocyte, spikes, causal tracing (--model DIR --prompt TEXT)"
FROM_MODEL = True

LARGEST_PROMPT = 128
# Columns of maps, layers and neurons per layer of a raster.
_MAPS, _HEADS, _RASTERS, _NEURONS = 4, 8, 8, 64
_RESTORED = {"hidden": "hidden state put back", "mixer": "spikes put back", "state": "carried state put back"}


class InsideError(ValueError):
    """A look inside that cannot be taken: no model, no prompt, or one too long."""


def compute(
    quick: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    *,
    model: str | Path | None = None,
    prompt: str | None = None,
    subject: str | None = None,
    layer: int | None = None,
    data: str | Path | None = None,
) -> pd.DataFrame:
    """Look into the model in folder `model`: one row per number.

    Columns: part, layer, head, token, source, neuron, series, text, value, error. Layers count from 1 (0: the embedding), heads
    from 1, tokens from 0.

    part : "token" (text; value 1 for the subject), "map" (value: what token `source` adds to the membranes at `token`; series
    "with" and "without" the astrocyte, or "weights"), "reach" (mean distance of a map), "spike" (0 or 1), "rate" (a layer's at a
    token), "answer" (probability, series "clean" and "corrupted", text the token), "trace" (probability with the quantity
    `series` put back; error: standard error over draws of the noise), "absent" (text: why a part is not there).

    subject : what gets the noise, the first occurrence (default: all but the last token). layer : its heads instead of the sums
    of several layers. data : folder with the tokenizer of GPT-2 or GPT-NeoX. seed : of the noise, 10 draws (3 with `quick`).

    Raises InsideError and ModelError for what cannot be looked at.
    """
    if model is None or prompt is None:
        raise InsideError(
            "figure inside looks into a trained language model; name it with --model DIR and a text with --prompt"
        )
    import torch

    from models.astrosnn.inspection import Tracing
    from models.astrosnn.inspection.checks import chosen_layers
    from models.astrosnn.inspection.prompt import read_prompt, token_label
    from models.continuation import open_writer

    network, codec = open_writer(model, data)
    text = read_prompt(codec, prompt, subject)
    if len(text.ids) > LARGEST_PROMPT:
        raise InsideError(
            f"the prompt has {len(text.ids)} {codec.unit} and the picture room for {LARGEST_PROMPT}; shorten it"
        )
    if layer is not None:
        chosen_layers([layer], network.config.num_hidden_layers)
    ids = torch.tensor([text.ids])
    rows: list[dict[str, Any]] = [
        {"part": "token", "token": t, "text": label, "value": float(t in text.subject)}
        for t, label in enumerate(text.labels)
    ]
    rows += _maps(network, ids, layer) + _spikes(network, ids)
    generator = torch.Generator().manual_seed(seed)
    run = Tracing(network, ids, text.subject, generator=generator, draws=3 if quick else 10)
    spread = float(run.corrupted.std() / len(run.corrupted) ** 0.5)
    answer = {"part": "answer", "text": token_label(codec, run.answer)}
    rows.append({**answer, "series": "clean", "value": run.clean})
    rows.append({**answer, "series": "corrupted", "value": float(run.corrupted.mean()), "error": spread})
    kinds = list(_RESTORED) if network.config.model_type == "astrosnn" else ["hidden"]
    for number, kind in enumerate(kinds):
        part = number

        def advance(done: int, of: int, part: int = part) -> None:
            if progress is not None:
                progress(part * of + done, len(kinds) * of)

        found = run.trace(kind, progress=advance)
        for i, at in enumerate(found.layers):
            rows += [
                {"part": "trace", "series": kind, "layer": at, "token": t, "value": value, "error": error}
                for t, (value, error) in enumerate(
                    zip(found.mean()[i].tolist(), found.standard_error()[i].tolist(), strict=True)
                )
            ]
    columns = ["part", "layer", "head", "token", "source", "neuron", "series", "text", "value", "error"]
    table = pd.DataFrame(rows).reindex(columns=columns)
    return table.astype({name: "Int64" for name in ("layer", "head", "token", "source", "neuron")})


def _spread_out(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 to count - 1, evenly, first and last among them."""
    return sorted({round(x) for x in np.linspace(0, count - 1, min(count, most))})


def _maps(network: Any, ids: Any, layer: int | None) -> list[dict[str, Any]]:
    from models.astrosnn.inspection import mixing_maps, reach
    from models.errors import ModelError

    layers = [i + 1 for i in _spread_out(network.config.num_hidden_layers, _MAPS)] if layer is None else [layer]
    try:
        found = mixing_maps(network, ids, layers)
    except ModelError as error:
        return [{"part": "absent", "series": "map", "text": str(error)}]
    rows: list[dict[str, Any]] = []
    for one in found:
        series = {"weights": one.influence()} if one.neuron is None else {
            "with": one.influence(), "without": one.influence(astrocyte=False)
        }  # fmt: skip
        for name, sizes in series.items():
            heads = sizes[0]
            shown: list[tuple[int | None, Any]] = [(None, heads.square().sum(0).sqrt())]
            if layer is not None:
                shown = [(i + 1, heads[i]) for i in _spread_out(len(heads), _HEADS)]
            for head, picture in shown:
                where = {"layer": one.layer, "head": head, "series": name}
                rows.append({"part": "reach", **where, "value": float(reach(picture))})
                rows += [
                    {"part": "map", **where, "token": t, "source": j, "value": value}
                    for t, line in enumerate(picture.tolist())
                    for j, value in enumerate(line[: t + 1])
                ]
    return rows


def _spikes(network: Any, ids: Any) -> list[dict[str, Any]]:
    from models.astrosnn.inspection import raster
    from models.errors import ModelError

    try:
        found = raster(network, ids)
    except ModelError as error:
        return [{"part": "absent", "series": "spike", "text": str(error)}]
    rates = found.by_token().tolist()
    rows: list[dict[str, Any]] = [
        {"part": "rate", "layer": i + 1, "token": t, "value": rate}
        for i, line in enumerate(rates)
        for t, rate in enumerate(line)
    ]
    layers, _, neurons = found.spikes.shape
    for i in _spread_out(layers, _RASTERS):
        for n in _spread_out(neurons, _NEURONS):
            fired = found.spikes[i, :, n].tolist()
            rows += [
                {"part": "spike", "layer": i + 1, "token": t, "neuron": n, "value": float(x)}
                for t, x in enumerate(fired)
            ]
    return rows


def draw(data: pd.DataFrame) -> Figure:
    """Maps above, the raster in the middle, the traces below; subject tokens in red."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tokens = data[data.part == "token"]
    maps = data[data.part == "map"]
    series = [s for s in ("with", "without", "weights") if s in set(maps.series)]
    columns = len(maps[["layer", "head"]].drop_duplicates()) or 1
    across = min(columns, 4)
    down = max(1, len(series)) * -(-columns // across)
    above = 2.7 * down if series else 0.6
    with house_style():
        figure = Figure(figsize=(13.0, above + 6.3 + 0.5))
        FigureCanvasAgg(figure)
        panels: Any = figure.subfigures(3, 1, height_ratios=[above, 3.4, 2.9])
        top, middle, bottom = panels
        _draw_maps(top, data, series, across, down, tokens)
        _draw_raster(middle, data, tokens)
        _draw_traces(bottom, data, tokens)
        clean, corrupted = (data[(data.part == "answer") & (data.series == s)].iloc[0] for s in ("clean", "corrupted"))
        text = "".join(tokens.text)
        text = text if len(text) <= 90 else text[:87] + "..."
        figure.suptitle(
            f"“{text}” → “{clean.text}”: probability {clean.value:.3f}; with noise on the "
            f"subject (red) {corrupted.value:.3f}",
            fontsize=11, fontweight="bold", x=0.01, ha="left", parse_math=False,
        )  # fmt: skip
    return figure


def _absent(panel: Any, data: pd.DataFrame, part: str) -> bool:
    """Say why a part is not there."""
    why = data[(data.part == "absent") & (data.series == part)]
    if why.empty:
        return False
    axes = panel.subplots()
    axes.axis("off")
    axes.text(0.0, 0.5, why.text.iloc[0], color=GREY, va="center", wrap=True)
    return True


def _draw_maps(panel: Any, data: pd.DataFrame, series: list[str], across: int, down: int, tokens: pd.DataFrame) -> None:
    from matplotlib.colors import PowerNorm

    if _absent(panel, data, "map"):
        return
    maps, reaches = data[data.part == "map"], data[data.part == "reach"]
    names = {"with": "with astrocyte", "without": "leak alone", "weights": "weights"}
    grid = panel.subplots(down, across, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    count = len(tokens)
    shown: list[tuple[Any, pd.DataFrame]] = list(maps.groupby(["layer", "head"], dropna=False))
    for number, ((layer, head), part) in enumerate(shown):
        largest = part.value.max()
        for i, name in enumerate(series):
            axes = grid[len(series) * (number // across) + i, number % across]
            axes.axis("on")
            one = part[part.series == name]
            picture = np.full((count, count), np.nan)
            picture[one.token.astype(int), one.source.astype(int)] = one.value
            axes.imshow(picture, cmap="Blues", norm=PowerNorm(0.5, 0.0, largest), interpolation="nearest")
            axes.grid(False)
            which = (
                ("A   " if number == i == 0 else "") + f"layer {layer}" + ("" if pd.isna(head) else f", head {head}")
            )
            same = (reaches.layer == layer) & (reaches.series == name)
            same &= reaches["head"].isna() if pd.isna(head) else reaches["head"] == head
            axes.set_title(f"{which}, {names[name]}\nreach {reaches[same].value.iloc[0]:.1f} tokens", fontsize=8.8)
            _label(axes, tokens, "x", inches=2.0)
            _label(axes, tokens, "y", inches=2.0)
            if number % across == 0:
                axes.set_ylabel("to token")
    panel.supxlabel(
        "from token: length of what it adds to the membranes (square-root scale, one per layer)", fontsize=8.8
    )


def _draw_raster(panel: Any, data: pd.DataFrame, tokens: pd.DataFrame) -> None:
    if _absent(panel, data, "spike"):
        return
    axes, side = panel.subplots(1, 2, width_ratios=[5, 1])
    spikes, rates = data[data.part == "spike"], data[data.part == "rate"]
    layers = sorted(spikes.layer.unique())
    pictures = [spikes[spikes.layer == n].pivot(index="neuron", columns="token", values="value") for n in layers]
    height = len(pictures[0])
    whole = np.concatenate([p.to_numpy(float) for p in pictures])
    axes.imshow(whole, cmap="Greys", aspect="auto", interpolation="nearest", vmin=0, vmax=1)
    axes.grid(False)
    for i in range(1, len(layers)):
        axes.axhline(i * height - 0.5, color=RED, lw=1.0)
    axes.set_yticks([height * (i + 0.5) - 0.5 for i in range(len(layers))], [f"layer {n}" for n in layers])
    _label(axes, tokens, "x", inches=9.0)
    axes.set_title(f"B   spikes of {height} neurons per layer at every token")
    by_layer: list[tuple[Any, pd.DataFrame]] = list(rates.groupby("layer"))
    for n, part in by_layer:
        side.barh(int(n), part.value.mean(), color=GREY, height=0.6)
        side.plot([part.value.min(), part.value.max()], [n, n], color=PUBLISHED, lw=1.0)
    side.set_ylim(rates.layer.max() + 0.6, 0.4)
    side.set_yticks(sorted(rates.layer.unique()) if rates.layer.max() <= 12 else [1, int(rates.layer.max())])
    side.set_xlim(0, 1)
    side.set_xlabel("spikes per neuron and token")
    side.set_title("firing rate by layer\n(line: range over tokens)", fontsize=9.0)


def _draw_traces(panel: Any, data: pd.DataFrame, tokens: pd.DataFrame) -> None:
    traces = data[data.part == "trace"]
    answers = data[data.part == "answer"].set_index("series").value
    kinds = [kind for kind in _RESTORED if kind in set(traces.series)]
    grid = panel.subplots(1, len(kinds), squeeze=False)[0]
    # White is what the noise leaves: nothing came back.
    middle = float(answers.corrupted)
    half = max(float((traces.value - middle).abs().max()), abs(float(answers.clean) - middle), 1e-9)
    for axes, kind in zip(grid, kinds, strict=True):
        one = traces[traces.series == kind]
        picture = one.pivot(index="layer", columns="token", values="value")
        image = axes.imshow(
            picture.to_numpy(float), cmap="PuOr", aspect="auto", interpolation="nearest", vmin=middle - half, vmax=middle + half,
            origin="lower",
        )  # fmt: skip
        axes.grid(False)
        names = ["embedding" if n == 0 else str(n) for n in picture.index]
        step = -(-len(names) // 13)
        axes.set_yticks(range(0, len(names), step), names[::step])
        _label(axes, tokens, "x", inches=3.3)
        axes.set_title(f"{'C   ' if kind == kinds[0] else ''}{_RESTORED[kind]}", fontsize=9.5)
        if kind == kinds[0]:
            axes.set_ylabel("layer")
        axes.set_xlabel(f"at this token (largest standard error {one.error.max():.3f})", fontsize=8.3)
    bar = panel.colorbar(image, ax=list(grid), fraction=0.03, pad=0.01)
    bar.set_label("probability of the answer (red: clean, noisy)", fontsize=8.3)
    for value in (answers.clean, answers.corrupted):
        bar.ax.axhline(float(value), color=RED, lw=1.2)


def _label(axes: Axes, tokens: pd.DataFrame, which: str, inches: float) -> None:
    """The tokens along an axis of this length, those of the subject in red; of many every second or third, and so on."""
    step = -(-len(tokens) // 64)
    shown = tokens.iloc[::step]
    size = min(8.5, 72.0 * inches / len(shown))
    axis = axes.xaxis if which == "x" else axes.yaxis
    long = int(shown.text.str.len().max()) > 2
    axis.set_ticks(shown.token.astype(int).tolist(), shown.text.tolist())
    for label, part in zip(axis.get_ticklabels(), shown.value, strict=True):
        label.set(fontsize=size, color=RED if part else PUBLISHED, parse_math=False)
        if which == "x" and long:
            label.set_rotation(90)
    axis.set_tick_params(length=0, pad=1)
