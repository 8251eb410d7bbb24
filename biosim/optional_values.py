"""Values of the processes that are off unless asked for: name -> (value, source, status), the same in every built-in set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .parameters import Status

_NEST = "NEST astrocyte_lr_1994 (Nadkarni and Jung 2003)"
_WADE = "about this in Wade et al. 2011 by secondary descriptions; its table is unverified"

SLOW_INWARD_CURRENT: dict[str, tuple[Any, str, Status]] = {
    "sic": ("none", "off; the published MATLAB has none", "assumed"),
    "sic_per": (
        "neuron",
        "once per neuron; equations 6-7 of arXiv 2312.10925 read literally add it per synapse",
        "assumed",
    ),
    "SIC_scale": (
        1.4,
        "depolarises this neuron by v_th at 0.4 uM; the raw 2.11 uA/cm^2 of Nadkarni and Jung is 105.5 pA and saturates it",
        "assumed",
    ),
    "SIC_offset": (0.19669, _NEST, "published"),
    "tau_SIC_rise": (0.06, _WADE, "assumed"),
    "tau_SIC_decay": (0.6, _WADE, "assumed"),
}

_TSODYKS = "NEST tsodyks_synapse, default (Tsodyks and Markram 1997; Tsodyks et al. 2000)"
_VOLMAN = "of the order remembered of Volman et al. 2007; unverified"

DEPRESSION: dict[str, tuple[Any, str, Status]] = {
    "synapse": ("quantum", "a Bernoulli quantum, as in the published MATLAB", "published"),
    "A_se": (250.0, "remembered of Tsodyks and Markram 1997; unverified", "assumed"),
    "tau_in": (0.003, _TSODYKS, "published"),
    "tau_rec": (0.8, _TSODYKS, "published"),
    "gate": ("none", "off; the published MATLAB has none", "assumed"),
    "tau_f": (4.0, _VOLMAN, "assumed"),
    "kappa_f": (0.5, _VOLMAN, "assumed"),
}

IP3_SOURCE: dict[str, tuple[Any, str, Status]] = {
    "ip3_source": ("ag", "2-AG summed over neurons, Wade et al. 2012", "published"),
    "r_IP3_y": (
        0.5,
        "the number of r_IP3, per transmitter summed over all synapses; no source states it so",
        "assumed",
    ),
    "dIP3": (0.8e-3, "0.8 uM/s (remembered of Nadkarni and Jung 2003) for 1 ms above 50 mV", "assumed"),
}

CALCIUM_NOISE: dict[str, tuple[Any, str, Status]] = {
    "calcium_noise": ("none", "off; Wade et al. 2012 and the published MATLAB are deterministic", "published"),
    "N_IP3R": (
        20.0,
        "receptors of one cluster as in public code that names Nadkarni and Jung 2007; unverified",
        "assumed",
    ),
    "noise_scale": (1.0, "the form of Shuai and Jung 2002 itself", "derived"),
}

STIMBERG = "Stimberg et al. 2018, example 2 (brian-team/brian2, examples/frompapers/Stimberg_et_al_2018)"
STIMBERG_RING = STIMBERG.replace("example 2", "example 5")

GCHI: dict[str, tuple[Any, str, Status]] = {
    "astrocyte": ("li_rinzel", "IP3 of Wade et al. 2012 and of the published MATLAB", "published"),
    "cleft": ("sum", f"{STIMBERG}; example 6 divides by the number of synapses", "published"),
    "dY": (500.0, f"{STIMBERG}: 500 mM in vesicles, diluted by 0.001", "published"),
    "Omega_c": (40.0, STIMBERG, "published"),
    "O_N": (0.3, STIMBERG, "published"),
    "Omega_N": (0.5, STIMBERG, "published"),
    "zeta": (10.0, STIMBERG, "published"),
    "K_KC": (0.5, STIMBERG, "published"),
    "O_beta": (5.0, STIMBERG, "published"),
    "O_delta": (0.2, STIMBERG, "published"),
    "kappa_delta": (1.5, STIMBERG, "published"),
    "K_delta": (0.3, STIMBERG, "published"),
    "O_3K": (4.5, STIMBERG, "published"),
    "K_D": (0.5, STIMBERG, "published"),
    "K_3K": (1.0, STIMBERG, "published"),
    "Omega_5P": (0.1, STIMBERG, "published"),
}

OFF = {**SLOW_INWARD_CURRENT, **DEPRESSION, **IP3_SOURCE, **GCHI, **CALCIUM_NOISE}
