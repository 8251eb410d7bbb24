"""Is the attention branch alive? Sizes of its Hebbian argument, of its output and of what it says about the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .astromorphic.modeling_astromorphic import AstromorphicBlock, AstromorphicMixer, AstromorphicPreTrainedModel
from .errors import ModelError
from .ops.scaling import valid_tokens
from .ops.state import prepare

# Beyond it the slope of the sigmoid is below 1 % of its greatest: 4 sigma'(6) = 0.0099.
SATURATED = 6.0
PARTNERS = 8


@dataclass(frozen=True)
class LayerDiagnostics:
    """One layer on one batch; lists have one number per head, and rms is a root mean square over real tokens.

    argument_rms : rms of what the sigmoid is given: s S, or S where the scale is outside; s S as well where there is no
        sigmoid. None for softmax. saturated : share of it beyond the stated level; None without a sigmoid.
    output_mean, output_rms : of the heads' outputs with their gains, before the output projection.
    output_gain : output_rms over the rms of the values.
    content : std of these outputs when keys and values are replaced by those of other samples, queries and positions
        staying: the part that carries information about the sequence. None for a batch of one sample.
    branch_rms, residual_rms, branch_to_residual : of the branch as it is added, of what it is added to, and their ratio.
    gain : the learned gain, None if there is none.
    """

    layer: int
    argument_rms: list[float] | None
    saturated: list[float] | None
    output_mean: list[float]
    output_rms: list[float]
    output_gain: list[float]
    content: list[float] | None
    branch_rms: float
    residual_rms: float
    branch_to_residual: float
    gain: list[float] | None


@torch.no_grad()
def diagnose(
    model: AstromorphicPreTrainedModel, *, level: float = SATURATED, partners: int = PARTNERS, **batch: Any
) -> list[LayerDiagnostics]:
    """Diagnostics of every layer with an attention branch, for `model(**batch)` in eval mode; none for the mixer "none".

    level : argument beyond which the sigmoid counts as saturated. partners : samples, at most, whose keys and values take
        the place of a sample's own. Works the Hebbian sums out token by token: for looking, not for every step.

    Raises ModelError for a model of another kind, or as the model does.
    """
    if not isinstance(model, AstromorphicPreTrainedModel):
        raise ModelError(f"model is {type(model).__name__}; expected one of the astromorphic networks")
    blocks = [m for m in model.modules() if isinstance(m, AstromorphicBlock) and m.mixer is not None]
    seen: dict[int, tuple[Any, ...]] = {}

    def remember(number: int) -> Callable[..., None]:
        return lambda module, arguments: seen.update({number: arguments})

    hooks = [block.register_forward_pre_hook(remember(i)) for i, block in enumerate(blocks)]
    was_training = model.training
    model.eval()
    try:
        model(**batch)
        return [_of_block(blocks[i], i, seen[i], level, partners) for i in sorted(seen)]
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()


def _of_block(
    block: AstromorphicBlock, number: int, arguments: tuple[Any, ...], level: float, partners: int
) -> LayerDiagnostics:
    residual, positions, mask, _, *known = arguments
    mixer = block.mixer
    assert mixer is not None
    x = block.mixer_norm(residual) if block.pre_norm else residual
    keep = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
    code = known[0] if known and isinstance(known[0], Tensor) else None
    return mixer_diagnostics(
        mixer, x, positions, keep, residual, code=code, number=number, level=level, partners=partners
    )


@torch.no_grad()
def mixer_diagnostics(
    mixer: AstromorphicMixer,
    x: Tensor,
    positions: Tensor,
    keep: Tensor,
    residual: Tensor,
    *,
    code: Tensor | None = None,
    number: int = 0,
    level: float = SATURATED,
    partners: int = PARTNERS,
) -> LayerDiagnostics:
    """`LayerDiagnostics` of one mixer for its input x ``[batch, time, model]`` and what its branch is added to.

    positions ``[time]`` or ``[batch, time]``; keep ``[batch, time]``, True for real tokens; code ``[time, heads, m]`` in
    place of that of the positions.
    """
    q, k, v = mixer.project(x)
    code = mixer.code_at(positions) if code is None else code
    if code is not None and code.dim() == 3:
        code = code.expand(x.shape[0], *code.shape)
    out = mixer.scaled(mixer.mix(q, k, v, code, keep)[0])
    real = out[keep]  # [tokens, heads, d]
    output_rms, value_rms = (_rms(t, (0, 2)) for t in (real, v[keep]))
    flat = out.to(x.dtype).reshape(*x.shape[:2], -1)
    branch = flat if mixer.output is None else mixer.output(flat)
    branch_rms, residual_rms = (float(_rms(t[keep], (0, 1))) for t in (branch, residual))
    size, share = (None, None) if mixer.kind == "softmax" else _argument(mixer, k, v, code, keep, level)
    return LayerDiagnostics(
        layer=number,
        argument_rms=size,
        saturated=share if mixer.placement != "none" else None,
        output_mean=real.mean((0, 2)).tolist(),
        output_rms=output_rms.tolist(),
        output_gain=(output_rms / value_rms).tolist(),
        content=_content(mixer, q, k, v, code, keep, partners),
        branch_rms=branch_rms,
        residual_rms=residual_rms,
        branch_to_residual=branch_rms / residual_rms if residual_rms else float("inf"),
        gain=None if mixer.gain is None else mixer.gain.tolist(),
    )


def _rms(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return x.double().square().mean(axes).sqrt()


def _argument(
    mixer: AstromorphicMixer, k: Tensor, v: Tensor, code: Tensor | None, keep: Tensor, level: float
) -> tuple[list[float], list[float]]:
    """rms per head of the Hebbian argument, and the share of it beyond `level`: after all tokens, or after each one."""
    assert mixer.features is not None
    # phi(k) itself: a factor that the operator may take out of all keys would be missing from the argument.
    key = mixer.features(k)
    p = prepare(key, key, v, code, keep)
    if mixer.placement == "outside":
        scale = p.v.new_ones(len(p.v))
    elif mixer.scale is None:
        scale = 1.0 / valid_tokens(p.v, keep)
    else:
        scale = p.v.new_full((len(p.v),), mixer.scale)
    heads, m, d = mixer.heads, key.shape[-1], v.shape[-1]
    squares, beyond = p.v.new_zeros(2, heads, dtype=torch.float64)
    count = 0
    times = range(p.v.shape[1]) if mixer.causal else (slice(None),)
    s = p.v.new_zeros(len(p.v), heads, m, d)
    for t in times:
        piece = slice(t, t + 1) if isinstance(t, int) else t
        s = s + torch.einsum("bthm,bthd->bhmd", p.kappa[:, piece], p.v[:, piece])
        chosen = keep[:, piece].any(dim=1)
        argument = (s * scale[:, None, None, None])[chosen].double()
        squares += argument.square().sum((0, 2, 3))
        beyond += (argument.abs() > level).double().sum((0, 2, 3))
        count += int(chosen.sum()) * m * d
    return (squares / max(count, 1)).sqrt().tolist(), (beyond / max(count, 1)).tolist()


def _content(
    mixer: AstromorphicMixer, q: Tensor, k: Tensor, v: Tensor, code: Tensor | None, keep: Tensor, partners: int
) -> list[float] | None:
    """Root of the mean variance over samples that lend their keys and values, where the borrowing rows have tokens too."""
    batch = len(q)
    if batch < 2:
        return None
    common, outputs = keep, []
    for shift in range(min(batch, max(partners, 2))):
        k_, v_, keep_ = (t.roll(shift, 0) for t in (k, v, keep))
        code_ = None if code is None else code.roll(shift, 0)
        outputs.append(mixer.scaled(mixer.mix(q, k_, v_, code_, keep_)[0]).double())
        common = common & keep_
    if not bool(common.any()):
        return None
    variance = torch.stack(outputs).var(0)[common]
    return variance.mean((0, 2)).sqrt().tolist()
