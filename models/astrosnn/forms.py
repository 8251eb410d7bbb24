"""Do the three forms agree in a given network, and how many spikes flip when the precision is halved?"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..errors import ModelError
from ..ops.amsu import FORMS

if TYPE_CHECKING:
    from .modeling_astrosnn import AstroSNNForCausalLM, AstroSNNModel

TOLERANCE = 1e-10


class FormsReport(NamedTuple):
    """membrane, state : per layer the largest difference of a form from the serial one, relative to the largest value of the
    serial form, in float64; NaN where one has no number. tokens : how many were read. agree : whether all are at most 1e-10.
    """

    membrane: list[float]
    state: list[float]
    tokens: int

    @property
    def agree(self) -> bool:
        """All differences are numbers, and at most 1e-10."""
        return all(x <= TOLERANCE for x in (*self.membrane, *self.state))


@torch.no_grad()
def verify_forms(
    model: AstroSNNModel, input_ids: Tensor | None = None, *, length: int = 203, seed: int = 0
) -> FormsReport:
    """Compare the membranes before the spike, layer by layer, on the same inputs, in a copy of the network in float64.

    input_ids ``[batch, time]``; by default `length` random tokens drawn by `seed`. The second half is read with the state of
    the first, so that the hand-over is compared as well. Raises ModelError for a network without AM-SU.
    """
    if model.config.mixer != "amsu":
        raise ModelError(f"mixer is {model.config.mixer!r}; the three forms are those of 'amsu'")
    if input_ids is None:
        generator = torch.Generator().manual_seed(seed)
        input_ids = torch.randint(0, model.config.vocab_size, (1, length), generator=generator)
    wide = copy.deepcopy(model).double().eval()
    x = wide.embed(input_ids.to(model.device))
    positions = torch.arange(x.shape[1], device=x.device)
    cut = x.shape[1] // 2
    membranes, states = [], []
    for layer in wide.layers:
        a = layer.mixer_input(x)
        found = []
        for form in FORMS:
            first, state = layer.mixer.terms(a[:, :cut], positions[:cut], None, None, form)
            second, last = layer.mixer.terms(a[:, cut:], positions[cut:], None, state, form)
            found.append((torch.cat([layer.mixer.membrane(y) for y in (first, second)], dim=1), last))
        reference, end = found[FORMS.index("serial")]
        membranes.append(_largest([_difference(m, reference) for m, _ in found]))
        states.append(_largest([_difference(y, z) for _, s in found for y, z in zip(s, end, strict=True)]))
        x, _, _ = layer(x, positions, None, None)
    return FormsReport(membranes, states, input_ids.numel())


def _largest(values: list[float]) -> float:
    # Python's own maximum drops a NaN that does not come first.
    return float(torch.tensor(values, dtype=torch.float64).max())


def _difference(one: Tensor, other: Tensor) -> float:
    if not one.numel():
        return 0.0
    return float((one - other).abs().max() / other.abs().max().clamp_min(torch.finfo(other.dtype).tiny))


@torch.no_grad()
def spike_flips(model: AstroSNNForCausalLM, input_ids: Tensor, dtype: torch.dtype = torch.bfloat16) -> list[float]:
    """Share of the mixers' spikes per layer that differ between float32 and `dtype` weights and inputs.

    A membrane near the threshold flips with the last digit, and a flip reaches all later layers: this is what binary values
    cost in reproducibility. States are float32 in both. Raises ModelError for a mixer that does not spike.
    """
    single, half = copy.deepcopy(model).float().eval(), copy.deepcopy(model).eval()
    half.to(dtype=dtype)  # type: ignore[call-arg]
    runs = [m(input_ids=input_ids, use_cache=False, output_spikes=True).spikes for m in (single, half)]
    if not runs[0] or "mixer" not in runs[0][0]:
        raise ModelError(f"mixer is {model.config.mixer!r}, which has no spikes; expected amsu, lif or alif")
    return [float((a["mixer"].float() != b["mixer"].float()).float().mean()) for a, b in zip(*runs, strict=True)]
