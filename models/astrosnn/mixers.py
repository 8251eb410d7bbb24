"""The mixing layers behind one protocol: x ``[batch, time, model]`` and a state in, as much and a state out.

AM-SU is the subject; retention and softmax are what it descends from and competes with, and `CellMixer` puts the recurrent cells
of `models.baselines` into the same shell. Nothing is kept in a module between calls.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError
from ..ops.amsu import AMSUState, AMSUTerms, amsu, amsu_step, input_current, membrane
from ..ops.chunked_retention import retention_chunked
from ..ops.firing import fire
from ..ops.kernels import kernel_for
from ..ops.precision import widen
from ..ops.retention import retention_serial
from ..ops.rotary import rotary
from ..ops.rows import rows_alone
from ..ops.softmax import SoftmaxState, causal_softmax
from .configuration_astrosnn import SPIKING_MIXERS, AstroSNNConfig
from .state import LayerState

# Of a layer's state after `seen` columns, without the batch: what every mixer states of itself.
StateShapes = list[tuple[int, ...]]


class Mixed(NamedTuple):
    """What a mixer gives: `out` ``[batch, time, model]`` (spikes, 0 or 1, where the mixer spikes) and the state afterwards."""

    out: Tensor
    state: LayerState


class AMSU(nn.Module):
    """One layer of astrocyte-modulated spiking units (AstroSNN, eq. 1 to 9): W_x, W_q, W_k, W_v, and the norm of the heads."""

    def __init__(self, config: AstroSNNConfig) -> None:
        super().__init__()
        self.config, self.heads = config, config.num_attention_heads
        self.decays, self.leak = config.decays, config.leak
        wide = config.hidden_size
        self.input = nn.Linear(wide, wide, bias=False)
        self.astrocyte, self.neuron = config.terms != "neuron", config.terms != "astrocyte"
        if self.astrocyte:
            self.query = nn.Linear(wide, wide, bias=False)
            self.key = nn.Linear(wide, wide, bias=False)
            self.value = nn.Linear(wide, wide, bias=False)
        # One for all heads: the 0.25 d of the parameter count.
        normed = config.head_norm and self.astrocyte
        self.head_norm = nn.LayerNorm(config.head_width, eps=config.layer_norm_eps) if normed else None

    def state_shapes(self, seen: int) -> StateShapes:
        return [_square(self.config), (self.config.hidden_size,)]

    def terms(
        self, a: Tensor, positions: Tensor, mask: Tensor | None, state: LayerState, form: str | None = None
    ) -> tuple[AMSUTerms, AMSUState]:
        """The astrocyte's and the neuron's term before the norm; see `models.ops.amsu.amsu`. form : default the config's."""
        config = self.config
        x = self.input(a)
        if self.astrocyte:
            q, k, v = (f(x).unflatten(-1, (self.heads, -1)) for f in (self.query, self.key, self.value))
            q, k = (rotary(y, positions, fraction=config.rope_fraction, base=config.rope_base) for y in (q, k))
        else:  # o and S stay 0
            q = k = v = torch.zeros_like(x).unflatten(-1, (self.heads, -1))
        resistance = float(config.resistance) if self.neuron else 0.0
        current = resistance * input_current(widen(x), config.sigma)
        past = None if state is None else AMSUState(*state)
        # Also where this call is for a form or a step that has no kernel: a wrong setting shows at the first token.
        kernel_for(config.backend, q, v)
        if past is not None and a.shape[1] == 1 and form is None:
            return amsu_step(q, k, v, current, past, decays=self.decays, leak=self.leak, mask=mask)
        return amsu(
            q, k, v, current, decays=self.decays, leak=self.leak, state=past, mask=mask, form=form or config.form,
            chunk=config.chunk_size, backend=config.backend,
        )  # fmt: skip

    def membrane(self, terms: AMSUTerms) -> Tensor:
        """norm(o) + u ``[batch, time, model]``, in float32 or better."""
        norm = self.head_norm
        weight, bias = (None, None) if norm is None else (norm.weight, norm.bias)
        return membrane(terms, weight, bias, norm=norm is not None, eps=self.config.layer_norm_eps).flatten(2)

    def forward(self, a: Tensor, positions: Tensor, mask: Tensor | None, state: LayerState) -> Mixed:
        config, norm = self.config, self.head_norm
        terms, after = self.terms(a, positions, mask, state)
        weight, bias = (None, None) if norm is None else (norm.weight, norm.bias)
        s = fire(
            terms, weight, bias, norm=norm is not None, eps=config.layer_norm_eps, threshold=float(config.threshold),
            kind=config.surrogate, alpha=float(config.alpha),
        )  # fmt: skip
        return Mixed(s.flatten(2).to(a.dtype), after)


class RetentionState(NamedTuple):
    """S ``[batch, heads, d, d]``."""

    sums: Tensor


class Retention(nn.Module):
    """RetNet's retention (Sun et al. 2023, arXiv 2307.08621): decays 1 - 2^(-5-head), rotary positions, head norm, swish gate.

    Five d x d matrices with W_o, as in an AM-SU layer: the gate takes the place of W_x.
    """

    def __init__(self, config: AstroSNNConfig) -> None:
        super().__init__()
        self.config, self.heads = config, config.num_attention_heads
        self.decays = [1.0 - 2.0 ** (-5 - head) for head in range(self.heads)]
        wide = config.hidden_size
        self.query, self.key, self.value, self.gate = (nn.Linear(wide, wide, bias=False) for _ in range(4))
        self.head_norm = nn.LayerNorm(config.head_width, eps=config.layer_norm_eps)

    def state_shapes(self, seen: int) -> StateShapes:
        return [_square(self.config)]

    def forward(self, a: Tensor, positions: Tensor, mask: Tensor | None, state: LayerState) -> Mixed:
        config = self.config
        q, k, v = (f(a).unflatten(-1, (self.heads, -1)) for f in (self.query, self.key, self.value))
        q, k = (rotary(y, positions, fraction=config.rope_fraction, base=config.rope_base) for y in (q, k))

        def run(tokens: list[Tensor], past: LayerState) -> tuple[list[Tensor], LayerState]:
            before = None if past is None else past[0]
            q, k, v = tokens
            if before is not None and q.shape[1] == 1:
                o, after = retention_serial(q, k, v, self.decays, state=before)
            else:
                o, after = retention_chunked(q, k, v, self.decays, state=before, chunk=config.chunk_size)
            return [o], RetentionState(after)

        (o,), after = rows_alone(run, [q, k, v], state, mask)
        o = self.head_norm(o.to(self.head_norm.weight.dtype)).flatten(2)
        return Mixed(F.silu(self.gate(a)) * o.to(a.dtype), after)


class Softmax(nn.Module):
    """Causal scaled dot-product attention with rotary positions: the block of GPT-NeoX. Its state grows with the text."""

    def __init__(self, config: AstroSNNConfig) -> None:
        super().__init__()
        self.config, self.heads = config, config.num_attention_heads
        wide = config.hidden_size
        self.query, self.key, self.value = (nn.Linear(wide, wide, bias=False) for _ in range(3))

    def state_shapes(self, seen: int) -> StateShapes:
        past = (seen, self.heads, self.config.head_width)
        return [past, past, (seen,)]

    def forward(self, a: Tensor, positions: Tensor, mask: Tensor | None, state: LayerState) -> Mixed:
        config = self.config
        q, k, v = (f(a).unflatten(-1, (self.heads, -1)) for f in (self.query, self.key, self.value))
        q, k = (rotary(y, positions, fraction=config.rope_fraction, base=config.rope_base) for y in (q, k))
        past = None if state is None else SoftmaxState(*state)
        out, after = causal_softmax(q, k, v, mask=mask, initial_state=past)
        return Mixed(out.flatten(2), after)


class CellMixer(nn.Module):
    """A recurrent cell of `models.baselines`: LIF, ALIF or GRU. It goes through the tokens one by one."""

    def __init__(self, config: AstroSNNConfig) -> None:
        super().__init__()
        try:
            baselines = importlib.import_module("..baselines", __package__)
        except ModuleNotFoundError as error:
            raise ModelError(f"mixer {config.mixer!r} is not in this installation ({error}); choose another") from None
        self.cell = baselines.make_cell(config.mixer, config.hidden_size, config.max_position_embeddings)
        # A cell starts its weights itself (its firing depends on them); the library would start its linear layers again.
        if not any(p.is_meta for p in self.cell.parameters()):
            for module in self.cell.modules():
                module._is_hf_initialized = True

    def state_shapes(self, seen: int) -> StateShapes:
        return [(self.cell.width,)] * len(self.cell.STATE._fields)

    def forward(self, a: Tensor, positions: Tensor, mask: Tensor | None, state: LayerState) -> Mixed:
        def run(tokens: list[Tensor], past: LayerState) -> tuple[list[Tensor], LayerState]:
            if not tokens[0].shape[1]:
                return [tokens[0]], past
            out, after = self.cell(tokens[0], past)
            return [out], after

        # A state from a file is a plain tuple.
        past = None if state is None else self.cell.STATE(*state)
        (out,), after = rows_alone(run, [a], past, mask)
        return Mixed(out.to(a.dtype), after)


def make_mixer(config: AstroSNNConfig) -> nn.Module:
    """The mixer that `config.mixer` names."""
    kinds: dict[str, Any] = {"amsu": AMSU, "retention": Retention, "softmax": Softmax}
    return kinds.get(config.mixer, CellMixer)(config)  # type: ignore[no-any-return]


def _square(config: AstroSNNConfig) -> tuple[int, ...]:
    return (config.num_attention_heads, config.head_width, config.head_width)


def is_spiking(config: AstroSNNConfig) -> bool:
    """Whether what the mixer gives is 0 or 1."""
    return config.mixer in SPIKING_MIXERS
