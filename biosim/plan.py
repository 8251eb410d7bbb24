"""Experiments that are no ensemble of tripartite synapses, but run themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

    from .ensemble import Progress


class Plan(ABC):
    """What `simulate` runs by calling it: a protocol whose model is another one than the tripartite synapse.

    A subclass has a `name` and a `description`, is checked when it is made, and gives its Dataset in the form that
    `simulate` promises: units, long name and symbol on every variable, and the attribute ``provenance``.
    """

    name: str
    description: str

    @abstractmethod
    def run(
        self, engine: str, *, seed: int, record: float | None, progress: Progress | None, options: Mapping[str, Any]
    ) -> xr.Dataset:
        """Simulate; arguments as in `simulate`, with `options` for the engine."""

    @abstractmethod
    def swept(self, name: str, values: Sequence[float]) -> Plan:
        """The same with the numeric parameter `name` at each of `values`, which become a dimension of the Dataset."""
