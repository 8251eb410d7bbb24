"""Weight transfer: what becomes of a trained softmax model when random neurons and an astrocyte replace its attention.

A byte-level decoder is trained on Tiny Shakespeare with softmax attention, and one without attention for comparison. Then its
attention is replaced (`models.transferred`) with m hidden neurons per head. Left: the astrocyte's response C_t of one head
against the normaliser that it stands for. Middle: its relative error for every head. Right: bits per byte.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .style import BLUE, GREEN, GREY, ORANGE, PUBLISHED, RED, SKY, house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

    from models import AstromorphicForCausalLM

TITLE = "weight transfer: a trained softmax model with the neuron-astrocyte network for attention"

CONTEXT = 64
# Feature map, orthogonal rows, balanced keys -> label and colour.
MAPS = {
    ("exponential", True, True): ("positive exponential, orthogonal, balanced", BLUE),
    ("exponential", True, False): ("positive exponential, orthogonal rows", SKY),
    ("exponential", False, False): ("positive exponential, independent rows", GREEN),
    ("cosine", False, False): ("cosine, independent rows", ORANGE),
}
_HEAD_COLOURS = (GREEN, BLUE, ORANGE, RED, GREY)


def compute(quick: bool = False, seed: int = 0, progress: Callable[[int, int], None] | None = None) -> pd.DataFrame:
    """Train, transfer and score; one row per point, with the columns

    part : "response" (C_t of one head), "error" (root mean square over tokens of C_t/normaliser - 1), "bits" (bits per byte).
    series : feature map, or "softmax" and "none". orthogonal, balanced, m, draw, layer, head, token : where they apply. value :
    the quantity. query_norm, key_norm : mean over tokens of |q| and |k| of the head, with their factor d^(-1/4).
    """
    import models
    from models.tasks.shakespeare import load as load_bytes

    steps, draws, n_bytes = (100, 2, 128) if quick else (800, 5, 512)
    counts = [16, 128, 1024] if quick else [4**i for i in range(2, 9)]
    shown = [100, 1000] if quick else [1000, 100_000]
    total = 2 * steps + len(MAPS) * draws * sum(counts) // 256
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(min(done, total), total)

    text = load_bytes()
    soft = _trained("softmax", steps, seed, advance)
    flat = _trained("none", steps, seed, advance)
    scored = text.test[:n_bytes]
    # Queries and keys are balanced on another part of the text than that which is scored.
    batch = {"input_ids": _tokens(text.validation[: 8 * CONTEXT])}
    rows = _responses(soft, text.test[:CONTEXT], batch, shown, counts, draws, seed)
    for name, model in (("softmax", soft), ("none", flat)):
        rows.append({"part": "bits", "series": name, "value": models.bits_per_byte(model, scored).bits_per_byte})
    for m in counts:
        for (kind, orthogonal, balanced), draw in ((key, i) for key in MAPS for i in range(draws)):
            network = models.transferred(
                soft, m, features=kind, orthogonal=orthogonal, seed=seed + draw, balance_on=batch if balanced else None
            )
            bits = models.bits_per_byte(network, scored, batch_size=max(1, min(16, 2**18 // m))).bits_per_byte
            where = {"series": kind, "orthogonal": orthogonal, "balanced": balanced, "m": m, "draw": draw}
            rows.append({"part": "bits", **where, "value": bits})
            advance(m // 256)
    return pd.DataFrame(rows)


def _trained(mixer: str, steps: int, seed: int, advance: Callable[[int], None]) -> AstromorphicForCausalLM:
    import models

    config = models.AstromorphicConfig.from_preset(
        mixer, hidden_size=64, num_attention_heads=2, num_hidden_layers=2, intermediate_size=256,
        max_position_embeddings=CONTEXT,
    )  # fmt: skip
    recipe = models.Recipe(
        "transfer", steps=steps, batch_size=16, learning_rate=3e-3, warmup_steps=steps // 10, evaluate_every=steps,
        save_every=steps, curve_bytes=CONTEXT, final_bytes=CONTEXT,
    )  # fmt: skip
    last = 0

    def report(step: int, _: int, __: dict[str, float]) -> None:
        nonlocal last
        advance(step - last)
        last = step

    with tempfile.TemporaryDirectory() as folder:
        models.train(config, "shakespeare", recipe, Path(folder) / "run", seed=seed, arm=mixer, progress=report)
        return models.AstromorphicForCausalLM.from_pretrained(Path(folder) / "run").eval()


def _tokens(text: Any) -> Tensor:
    import torch

    return torch.from_numpy(text.astype(np.int64)).view(-1, CONTEXT)


def _responses(
    model: AstromorphicForCausalLM, text: Any, measured_on: dict[str, Any], shown: list[int], counts: list[int], draws: int,
    seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Relative error of all heads at all m, and the course over tokens of a head in the middle of their norms."""
    from models import astrocyte_response

    batch = {"input_ids": _tokens(text)}
    rows: list[dict[str, Any]] = []
    lengths = {}
    for layer in range(model.config.num_hidden_layers):
        for head in range(model.config.num_attention_heads):
            where = {"series": "exponential", "orthogonal": True, "layer": layer, "head": head}
            for balanced, m, draw in product((False, True), counts, range(draws)):
                found = astrocyte_response(
                    model, batch, layer, head, m, seed=seed + draw, balance_on=measured_on if balanced else None
                )
                size = {"query_norm": float(found.query_norm.mean()), "key_norm": float(found.key_norm.mean())}
                error = float((found.response / found.normaliser - 1.0).square().mean().sqrt())
                rows.append(
                    {"part": "error", **where, "balanced": balanced, "m": m, "draw": draw, "value": error, **size}
                )
            lengths[layer, head] = size
    layer, head = sorted(lengths, key=lambda key: sum(lengths[key].values()))[len(lengths) // 2]
    where = {
        "part": "response",
        "orthogonal": True,
        "balanced": True,
        "layer": layer,
        "head": head,
        **lengths[layer, head],
    }
    for m in shown:
        found = astrocyte_response(model, batch, layer, head, m, seed=seed, balance_on=measured_on)
        for series, values in (("exponential", found.response), ("softmax", found.normaliser)):
            if series == "exponential" or m == shown[0]:
                number = {"m": m} if series == "exponential" else {}
                rows += [
                    {**where, "series": series, **number, "token": t, "value": v}
                    for t, v in enumerate(values[0].tolist())
                ]
    return rows


def draw(data: pd.DataFrame) -> Figure:
    """Three panels: the response over tokens, its error against m, bits per byte against m."""
    with house_style():
        figure, (left, middle, right) = new_figure(13.0, 5.6, 1, 3)
        _response(left, data[data.part == "response"])
        _error(middle, data[data.part == "error"])
        _bits(right, data[data.part == "bits"])
        figure.suptitle(
            "Weight transfer: a trained softmax model whose attention is replaced by m random neurons and an astrocyte per head",
            fontsize=11, fontweight="bold", x=0.01, ha="left",
        )  # fmt: skip
    return figure


def _response(axes: Axes, data: pd.DataFrame) -> None:
    true = data[data.series == "softmax"]
    estimates = data[data.series == "exponential"]
    for (m, part), colour, width in zip(estimates.groupby("m"), (SKY, BLUE), (1.1, 1.8), strict=False):
        axes.plot(part.token, part.value, color=colour, lw=width, label=f"astrocyte, m = {_power(m)} neurons")
    axes.plot(true.token, true.value, color=PUBLISHED, ls=(0, (2, 2)), lw=1.4, label="softmax: Σ exp(q·k/√d)")
    axes.set_yscale("log")
    axes.set_xlabel("token t")
    axes.set_ylabel("astrocyte's response C_t")
    one = true.iloc[0]
    axes.set_title("The response against the normaliser", pad=20)
    which = f"layer {int(one.layer) + 1}, head {int(one['head']) + 1}"
    lengths = f"mean |q| = {one.query_norm:.1f}, |k| = {one.key_norm:.1f} after balancing"
    axes.text(0.0, 1.02, f"{which}: {lengths}", transform=axes.transAxes, fontsize=8.8, va="bottom")
    _legend(axes)


def _error(axes: Axes, data: pd.DataFrame) -> None:
    """Balanced keys as lines with the range of draws, as trained dashed in the same colour."""
    chosen = data.balanced.astype(bool)
    balanced, plain = data[chosen], data[~chosen]
    order = plain.groupby(["layer", "head"])[["query_norm", "key_norm"]].mean().sum(axis=1).sort_values().index
    for (layer, head), colour in zip(order, _HEAD_COLOURS, strict=False):
        one, other = (part[(part.layer == layer) & (part["head"] == head)] for part in (balanced, plain))
        by_m, before = one.groupby("m").value, other.groupby("m").value.mean()
        first = one.iloc[0]
        label = (
            f"layer {int(layer) + 1}, head {int(head) + 1}: |q| = {other.iloc[0].query_norm:.1f} → {first.query_norm:.1f}, "
            f"|k| = {other.iloc[0].key_norm:.1f} → {first.key_norm:.1f}"
        )
        axes.plot(by_m.mean().index, by_m.mean(), "o-", ms=3.5, color=colour, label=label)
        axes.fill_between(by_m.mean().index, by_m.min(), by_m.max(), color=colour, alpha=0.18, lw=0)
        axes.plot(before.index, before, ls="--", lw=1.0, color=colour)
    best = balanced[(balanced.layer == order[0][0]) & (balanced["head"] == order[0][1])].groupby("m").value.mean()
    axes.plot(
        best.index, best.iloc[0] * (best.index / best.index[0]) ** -0.5, ls=":", color=PUBLISHED, label="∝ m^(−1/2)"
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("hidden neurons per head m")
    axes.set_ylabel("relative error of C_t (rms over tokens)")
    axes.set_title("The norms of q and k decide the error", pad=20)
    axes.text(
        0.0, 1.02, f"dashed: q, k as trained; lines: balanced (range of {data.draw.nunique()} draws)",
        transform=axes.transAxes, fontsize=8.8, va="bottom",
    )  # fmt: skip
    _powers_of_ten(axes)
    _legend(axes)


def _bits(axes: Axes, data: pd.DataFrame) -> None:
    for (kind, orthogonal, balanced), (label, colour) in MAPS.items():
        chosen = (data.series == kind) & (data.orthogonal == orthogonal) & (data.balanced == balanced)
        by_m = data[chosen].groupby("m").value
        mean = by_m.mean()
        axes.plot(mean.index, mean, "o-", ms=3.5, color=colour, label=label)
        axes.fill_between(mean.index, by_m.min(), by_m.max(), color=colour, alpha=0.18, lw=0)
    lines = {"softmax": ("softmax, as trained", PUBLISHED, "-"), "none": ("trained without attention", GREY, "--")}
    for series, (label, colour, style) in lines.items():
        axes.axhline(float(data[data.series == series].value.iloc[0]), color=colour, ls=style, lw=1.3, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("hidden neurons per head m")
    axes.set_ylabel("bits per byte, test")
    axes.set_title("The task against m", pad=20)
    axes.text(
        0.0, 1.02, f"mean and range of {int(data.draw.max()) + 1} draws; no training after the transfer",
        transform=axes.transAxes, fontsize=8.8, va="bottom",
    )  # fmt: skip
    _powers_of_ten(axes)
    _legend(axes)


def _legend(axes: Axes) -> None:
    """Below the panel, where it hides no line."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=8)


def _powers_of_ten(axes: Axes) -> None:
    from matplotlib.ticker import NullFormatter

    axes.xaxis.set_minor_formatter(NullFormatter())


def _power(m: Any) -> str:
    exponent = round(np.log10(m))
    return f"10{str(exponent).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
