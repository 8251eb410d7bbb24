"""Operations and energy per token, counted, never measured: accumulates (AC) against multiply-accumulates (MAC).

A product of n inputs with an n x m matrix costs n m MAC. If the inputs are 0 or 1 and a share r of them is 1, it costs r n m AC,
additions of the rows that spikes select. Per layer of width d with h heads of width w = d/h and a feed-forward part of width f:

    W_x                d^2 MAC; r_input d^2 AC where its input is binary ("spike_in", and "pure" after the first layer)
    W_q, W_k, W_v      3 d^2 MAC (they read x, which is real)
    astrocyte          3 h w^2 MAC: decay and write (2 w^2 per head: one multiplication and one multiply-accumulate per entry
                       of S), read (w^2)
    neuron             2 d MAC: decay, and R sigma(x)
    head norm          4 d MAC
    W_o                r_mixer d^2 AC
    feed-forward       d f MAC (or r_feed_forward d f AC in "spike_in"), and f d MAC

and d V MAC once for the head, whose input is real. Not counted, all linear in the widths: the layer norms of the blocks and at
the end, the rotation of q and k, sigma, GELU, biases, residual additions, comparisons with the threshold, the look-up of the
embedding. At d = 512 they are about one per cent of the products. Energy = AC x 0.9 pJ + MAC x 4.6 pJ (float32 in 45 nm: an
addition, and an addition with a multiplication of 3.7 pJ; Horowitz, ISSCC 2014). It is what hardware could save that skips
zeros and moves no data: on a CPU or GPU products with binary inputs cost what others cost, and memory traffic, which dominates,
is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ModelError

if TYPE_CHECKING:
    from .configuration_astrosnn import AstroSNNConfig

PICOJOULE_PER_AC = 0.9
PICOJOULE_PER_MAC = 4.6


@dataclass(frozen=True)
class Operations:
    """Operations per token by part of the network, all layers together. replaced : the MAC that the AC stand for."""

    ac: dict[str, float]
    mac: dict[str, float]
    replaced: dict[str, float]

    @property
    def picojoules(self) -> float:
        """AC x 0.9 + MAC x 4.6."""
        return PICOJOULE_PER_AC * sum(self.ac.values()) + PICOJOULE_PER_MAC * sum(self.mac.values())

    @property
    def dense(self) -> float:
        """Energy in picojoules if every spike were a real number: the same network without its zeros."""
        return PICOJOULE_PER_MAC * (sum(self.mac.values()) + sum(self.replaced.values()))


def operations(config: AstroSNNConfig, rates: Sequence[Mapping[str, float]]) -> Operations:
    """Count for an AM-SU network from the firing rates of its layers, as `models.astrosnn.activity` gives them.

    Raises ModelError for another mixer, or rates that are missing or no shares.
    """
    if config.mixer != "amsu":
        raise ModelError(f"mixer is {config.mixer!r}; the count of operations is that of 'amsu'")
    if len(rates) != config.num_hidden_layers:
        raise ModelError(f"rates are of {len(rates)} layers; expected {config.num_hidden_layers}, all of the network")
    d, f, mode = config.hidden_size, int(config.intermediate_size or 0), config.residual_mode
    ac: dict[str, float] = {}
    mac: dict[str, float] = {}
    replaced: dict[str, float] = {}

    def real(part: str, count: float) -> None:
        mac[part] = mac.get(part, 0.0) + count

    def binary(part: str, count: float, rate: float) -> None:
        ac[part] = ac.get(part, 0.0) + rate * count
        replaced[part] = replaced.get(part, 0.0) + count

    for i, layer in enumerate(rates):
        if mode == "spike_in":
            binary("W_x", d * d, _rate(layer, "input", i))
        elif mode == "pure" and i:
            binary("W_x", d * d, _rate(rates[i - 1], "mixer", i - 1))
        else:
            real("W_x", d * d)
        if config.terms != "neuron":
            real("W_q, W_k, W_v", 3 * d * d)
            real("astrocyte", 3 * d * config.head_width)
            if config.head_norm:
                real("head norm", 4 * d)
        if config.terms != "astrocyte":
            real("neuron", 2 * d)
        if mode == "pure":
            continue
        if config.out_proj:
            binary("W_o", d * d, _rate(layer, "mixer", i))
        if mode == "spike_in":
            binary("feed-forward", d * f, _rate(layer, "feed_forward", i))
        else:
            real("feed-forward", d * f)
        real("feed-forward", f * d)
    real("head", d * config.vocab_size)
    return Operations(ac, mac, replaced)


def _rate(layer: Mapping[str, float], name: str, index: int) -> float:
    rate = layer.get(name)
    if rate is None or not 0.0 <= rate <= 1.0:
        raise ModelError(f"rate of {name!r} in layer {index + 1} is {rate!r}; expected a share from 0 to 1")
    return float(rate)
