"""The arms of the main comparison: which networks are trained side by side, and how their gains are matched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .astromorphic.configuration_astromorphic import AstromorphicConfig
from .errors import ModelError
from .ops.response import Power, Response, make_response

if TYPE_CHECKING:
    import os

    from bridge.artifact import MacroParameters

REFERENCE_ALPHA = 0.25

# Small enough for a minute on one core; all arms share it. At this budget one wide layer beats two narrow ones, and the
# pre-norm order with sharper initial queries and keys learns faster than the paper's post-norm (by about 0.1 bits per byte).
MAIN_SIZE: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "hidden_dim": 16,
    "intermediate_size": 512,
    "norm_placement": "pre",
    "initializer_range": 0.1,
    "query_key_init": 3.0,
}


def matched_gain(response: Response, reference: Response, activation: float) -> float:
    """The factor that gives an attention branch divided by `response` the gain of one divided by `reference`, at one activation.

    The branch is proportional to 1/g(G), so the factor is g(G) / g_reference(G). A change of alpha is first of all a
    change of gain (up to two orders of magnitude); after this, curves differ in shape only. `activation` G is in
    units of summed phi(k).
    """
    if not activation > 0:
        raise ModelError(f"activation is {activation!r}; expected a number above 0, e.g. half the context length")
    return response.at(activation) / reference.at(activation)


def matching_activation(context: int = 64, **settings: Any) -> float:
    """The activation G at which `main_arms` matches gains: that of an untrained arm after half the context.

    Measured on validation text of the built-in task, mean over heads and features; phi(k) is not 1 on average, so this
    is not context/2. Rounded to three digits, so that configurations do not depend on the last bits of a sum.
    """
    from .operating_point import initial_activation
    from .tasks import load_task

    config = AstromorphicConfig.from_preset("tuned", **{**MAIN_SIZE, "max_position_embeddings": context, **settings})
    measured = initial_activation(config, load_task("shakespeare").validation.ids, max(context // 2, 1))
    if measured is None:
        raise ModelError(f"mixer {config.mixer!r} accumulates no activation; gains are matched for 'astromorphic' only")
    return float(f"{measured:.3g}")


def main_arms(
    macro: str | os.PathLike[str] | MacroParameters,
    context: int = 64,
    *,
    activation: float | None = None,
    **settings: Any,
) -> dict[str, AstromorphicConfig]:
    """The four arms of the main comparison, trained at one budget with the same seeds.

    fitted: the response fitted to the biology; alpha025: the paper's G**0.25; alpha1_matched: no compression (plain
    linear normaliser); none: attention off. `fitted` and `alpha1_matched` have the gain of `alpha025` at G =
    `activation` (default: `matching_activation`), so what differs at the start is the shape of the curve. `settings`
    override the size of all arms.
    """
    size = {**MAIN_SIZE, "max_position_embeddings": context, **settings}
    reference = Power(REFERENCE_ALPHA)
    at = matching_activation(context, **settings) if activation is None else activation
    fitted = AstromorphicConfig.from_macro(macro, **size)
    response = fitted.response or {}
    gain = matched_gain(make_response(response["family"], response["parameters"]), reference, at)
    fitted = AstromorphicConfig.from_macro(macro, **size, branch_gain=gain)

    def power(alpha: float) -> AstromorphicConfig:
        return AstromorphicConfig.from_preset(
            "tuned",
            **size,
            response={"family": "power", "parameters": {"alpha": alpha}},
            branch_gain=matched_gain(Power(alpha), reference, at),
        )

    return {
        "fitted": fitted,
        "alpha025": power(REFERENCE_ALPHA),
        "alpha1_matched": power(1.0),
        "none": AstromorphicConfig.from_preset("none", **size),
    }
