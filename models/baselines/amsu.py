"""The astrocyte-modulated spiking unit as a layer of its own: the block `pure` of AstroSNN, nothing around it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..ops.amsu import TERMS, AMSUState, AMSUTerms, amsu, input_current, membrane
from ..ops.decay import decay, spectrum
from ..ops.spike import check_surrogate, spike
from ..settings import check_choice, check_number
from .cell import LONGEST, SHORTEST, Cell, check_switch, checked_span

HEADS = 8


class AMSUCell(Cell):
    """s = [norm(o) + u >= 0], o the astrocyte's and u the neuron's term of `models.ops.amsu`, of X = S W_x and its products
    X W_q, X W_k, X W_v.

    Eight heads, whose time constants run from tau_a[0] to tau_a[1] steps, equal in ratio, read as `decay` says. terms : "both",
    or one of them alone. There is no rotation of queries and keys: the query has one place, at the end. Whole sequences are
    computed in chunks, single steps serially, with the same state. The state is `AMSUState`.

    sigma is the identity here, where chains are remembered; the language model's default is another, chosen on text.

    Source: AstroSNN (arXiv 2312.07625), eq. 1 to 9; surrogate of width 1 as for the other cells here.
    """

    WIDTH_MULTIPLE = HEADS
    SETTINGS = ("tau_a", "tau_n", "decay", "sigma", "norm", "terms", "surrogate", "alpha")

    def __init__(
        self,
        width: int,
        length: int,
        *,
        tau_a: tuple[float, float] = (32.0, 512.0),
        tau_n: float = 2.0,
        decay: str = "one_minus_inv",
        sigma: str = "identity",
        norm: bool = True,
        terms: str = "both",
        surrogate: str = "triangle",
        alpha: float = 1.0,
    ) -> None:
        super().__init__(width, length)
        check_choice("terms", terms, TERMS)
        check_surrogate(surrogate, alpha)
        input_current(torch.zeros(1), sigma)
        check_switch("norm", norm)
        self.decays, self.leak = _decays(tau_a, tau_n, decay)
        self.sigma, self.terms, self.surrogate, self.alpha = sigma, terms, surrogate, alpha
        self.input, self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(4))
        size = width // HEADS
        self.norm_weight = nn.Parameter(torch.ones(size)) if norm else None
        self.norm_bias = nn.Parameter(torch.zeros(size)) if norm else None

    def forward(self, x: Tensor, state: AMSUState | None = None) -> tuple[Tensor, AMSUState]:
        x = self.input(x)
        q, k, v = (f(x).unflatten(-1, (HEADS, -1)) for f in (self.query, self.key, self.value))
        found, after = amsu(
            q, k, v, input_current(x, self.sigma), decays=self.decays, leak=self.leak, state=state,
            form="serial" if x.shape[1] == 1 else "chunked",
        )  # fmt: skip
        if self.terms == "neuron":
            reached = found.neuron
        else:
            neuron = found.neuron if self.terms == "both" else torch.zeros_like(found.neuron)
            normed = self.norm_weight is not None
            reached = membrane(AMSUTerms(found.astrocyte, neuron), self.norm_weight, self.norm_bias, norm=normed)
        return spike(reached.flatten(2), self.surrogate, self.alpha), after


def _decays(tau_a: Any, tau_n: Any, reading: str) -> tuple[list[float], float]:
    """gamma per head and lambda."""
    low, high = checked_span(tau_a)
    check_number("tau_n", tau_n, low=SHORTEST, high=LONGEST, closed_high=True)
    return [decay(tau, reading) for tau in spectrum(HEADS, low, high)], decay(tau_n, reading)
