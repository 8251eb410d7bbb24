"""A protocol's coupled astrocytes: their graph, and which of them are stimulated how.

The last axis of such a protocol is ``astrocyte``; every combination of the other axes is one copy of the graph.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from .ensemble import Array, SimulationError
from .experiment import whole_numbers
from .gap_junctions import GapJunctions
from .messages import shown
from .parameters import TripartiteParameters, check_value
from .registry import choose

# Axes that belong to the tissue.
ASTROCYTE, STRENGTH, STIMULUS = "astrocyte", "coupling_strength", "stimulus"

StimulusKind = Literal["jump", "hold", "input"]
Topology = Literal["ring", "chain", "grid", "file"]


@dataclass(frozen=True)
class Tissue:
    """Coupled astrocytes, some of them stimulated.

    coupling : the graph. stimulated : indices of the stimulated astrocytes. kind : ``jump`` (their IP3 rises at once),
    ``hold`` (their resting IP3 is higher throughout, from which their IP3 starts as that of all others) or ``input`` (their
    input rate is another one). background : input rate of all others, Hz.

    Raises
    ------
    SimulationError
        A stimulated astrocyte is not in the graph.
    """

    coupling: GapJunctions
    stimulated: tuple[int, ...]
    kind: StimulusKind
    background: float = 0.0

    def __post_init__(self) -> None:
        choose("stimulus", self.kind, get_args(StimulusKind))
        chosen = whole_numbers("stimulated", self.stimulated)
        if max(chosen) >= self.n_astrocytes:
            raise SimulationError(
                f"stimulated = {shown(list(chosen))}: there are {self.n_astrocytes} astrocytes, counted from 0"
            )
        object.__setattr__(self, "stimulated", chosen)

    @property
    def n_astrocytes(self) -> int:
        return self.coupling.n_astrocytes

    def units(
        self, values: dict[str, Array], parameters: TripartiteParameters
    ) -> tuple[dict[str, Array], GapJunctions]:
        """Values of the units at these places on the axes: what the axes of the tissue mean for rate, jump and parameters.

        `values` maps the name of an axis to the value of every unit. Returned are the same without the tissue's axes and
        with ``input_rate``, ``jump`` or parameters, and the coupling of the copies.
        """
        out = dict(values)
        astrocyte = out.pop(ASTROCYTE).astype(np.int64)
        size, strength = out.pop(STIMULUS), out.pop(STRENGTH)
        here = np.isin(astrocyte, self.stimulated)
        extra = np.where(here, size, 0.0)
        rate = np.full(astrocyte.size, self.background)
        if self.kind == "jump":
            out["jump"] = extra
        elif self.kind == "hold":
            rest = out.get("IP3_rest", np.full(astrocyte.size, parameters.IP3_rest))
            if parameters.IP3_init is None:
                out.setdefault("IP3_init", rest)
            out["IP3_rest"] = rest + extra
        else:
            rate = np.where(here, size, rate)
        out["input_rate"] = rate
        # One strength per copy; all of a copy's units have the same.
        return out, replace(self.coupling, strength=strength[:: self.n_astrocytes])

    def sample(self, values: dict[str, Array]) -> dict[str, Array]:
        """Values for whole copies, as many as the longest of `values` (the other axes) has entries."""
        n = self.n_astrocytes
        copies = max((array.size for array in values.values()), default=1)
        out = {name: np.repeat(np.resize(array, copies), n) for name, array in values.items()}
        return out | {ASTROCYTE: np.tile(np.arange(n, dtype=np.float64), copies)}

    def to_record(self) -> dict[str, Any]:
        """JSON-ready description; the strengths are an axis."""
        coupling = self.coupling.to_record()
        return {
            "coupling": coupling, "stimulated": list(self.stimulated), "kind": self.kind, "background_hz": self.background
        }  # fmt: skip


def check_stimulus(kind: str, sizes: Array, rest: float) -> None:
    """Raise unless `sizes` are possible for the stimulus `kind` (uM, or Hz for ``input``)."""
    unit = "Hz" if kind == "input" else "uM"
    for size in sizes:
        if not (np.isfinite(size) and size >= 0):
            raise SimulationError(f"sizes = {shown(sizes.tolist())} {unit}: expected finite numbers of at least 0")
        if kind == "hold":
            check_value("IP3_rest", float(rest + size))


def graph(
    topology: str,
    n_astrocytes: int | None,
    rows: int | None,
    columns: int | None,
    periodic: bool,
    edges: Any,
    **coupling: Any,
) -> GapJunctions:
    """The graph that the options of a protocol mean; options of another topology are refused.

    Raises
    ------
    SimulationError, UnknownName
        The topology is unknown, an option that it needs is missing, or one is given that it has no use for.
    """
    choose("topology", topology, get_args(Topology))
    uses: dict[str, tuple[str, ...]] = {
        "ring": ("n_astrocytes",),
        "chain": ("n_astrocytes",),
        "grid": ("rows", "columns", "periodic"),
        "file": ("n_astrocytes", "edges"),
    }
    given = {"n_astrocytes": n_astrocytes, "rows": rows, "columns": columns, "edges": edges}
    given["periodic"] = None if periodic is False else periodic
    for name, value in given.items():
        if value is not None and name not in uses[topology]:
            raise SimulationError(
                f"{name} = {shown(value)} with topology = {topology!r}, which takes {', '.join(uses[topology])}; leave it out"
            )
    if topology == "grid":
        return GapJunctions.grid(8 if rows is None else rows, 8 if columns is None else columns, periodic, **coupling)
    if topology == "file":
        if edges is None:
            raise SimulationError("edges = None with topology = 'file': give a CSV file with the header from,to")
        read = (
            GapJunctions.from_file
            if isinstance(edges, str) or hasattr(edges, "__fspath__")
            else GapJunctions.from_edges
        )
        return read(edges, n_astrocytes, **coupling)
    make = GapJunctions.ring if topology == "ring" else GapJunctions.chain
    return make(40 if n_astrocytes is None else n_astrocytes, **coupling)
