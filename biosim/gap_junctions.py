"""Astrocytes coupled by gap junctions on a graph: which are coupled, and how IP3 passes between them.

A graph is one tissue; in an ensemble every trial and every point of a sweep is a copy of it with units of its own, and
nothing passes between copies. The flux through one junction is in `processes.gap_junction`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from . import memory
from .checks import numbers, real, whole
from .ensemble import MOST_UNITS, Array, SimulationError
from .messages import shown
from .parameters import LARGEST, SMALLEST, Provenance
from .processes import gap_junction
from .registry import choose

CouplingForm = Literal["linear", "threshold"]
Edges = NDArray[np.int64]

_STIMBERG = "Stimberg et al. 2018, example 5 (public Brian2 code), after Goldberg et al. 2010"
_COPASI = (
    "COPASI model of Goldberg et al. 2010, Fig. 3 (public code copasi/model_replicator); not read in the paper itself"
)

# Strength of each form where none is given, with unit and origin.
STRENGTHS: dict[str, tuple[float, str, Provenance]] = {
    "linear": (2.0, "1/s", Provenance(_COPASI, "published")),
    "threshold": (0.09, "uM/s", Provenance(_STIMBERG, "published")),
}
THETA, SCALE = 0.3, 0.05
SOURCES = {"theta": Provenance(_STIMBERG, "published"), "scale": Provenance(_STIMBERG, "published")}

# A longer list of edges is recorded by its digest.
MOST_LISTED = 2_000

# Half a step of the exchange is one Runge-Kutta step of order 4: stable up to 2.785 on the negative real axis, and within
# a part in a thousand of the exponential up to 1.
STABLE = 1.0


@dataclass(frozen=True)
class GapJunctions:
    """Gap junctions between astrocytes 0 to n_astrocytes - 1.

    Parameters
    ----------
    n_astrocytes : nodes of the graph; any may be without an edge.
    edges : pairs of astrocytes, shape [n_edges, 2]; a junction passes IP3 both ways, so that each pair occurs once.
    form : ``linear`` (passive diffusion) or ``threshold`` (little flux below a difference theta, F above it), see
        `processes.gap_junction`.
    strength : F, 1/s (linear; default 2) or uM/s (threshold; default 0.09), one number or one per copy of the graph.
    theta, scale : threshold and its width, uM (threshold alone; 0.3 and 0.05).

    Raises
    ------
    SimulationError
        An edge names no astrocyte, joins one to itself or occurs twice; a number is out of range.
    """

    n_astrocytes: int
    edges: Edges
    form: CouplingForm = "threshold"
    strength: Any = None
    theta: float = THETA
    scale: float = SCALE

    def __post_init__(self) -> None:
        n = whole("n_astrocytes", self.n_astrocytes, 1, MOST_UNITS, SimulationError)
        object.__setattr__(self, "n_astrocytes", n)
        choose("form of the coupling", self.form, get_args(CouplingForm))
        object.__setattr__(self, "edges", _checked_edges(self.edges, n))
        usual, unit, _ = STRENGTHS[self.form]
        given = usual if self.strength is None else self.strength
        strength = np.atleast_1d(numbers("strength of the coupling", given, unit, SimulationError))
        bad = np.flatnonzero(~(np.isfinite(strength) & (strength >= 0) & (strength <= LARGEST)))
        if strength.ndim != 1 or not strength.size or bad.size:
            value = f"{strength[bad[0]]:g}" if bad.size and strength.ndim == 1 else shown(given)
            raise SimulationError(f"strength of the coupling = {value} {unit}: expected a finite number of at least 0")
        object.__setattr__(self, "strength", strength)
        for name, low in (("theta", 0.0), ("scale", SMALLEST)):
            level = real(f"{name} of the coupling", getattr(self, name), "uM", SimulationError)
            if not (math.isfinite(level) and low <= level <= LARGEST):
                raise SimulationError(
                    f"{name} of the coupling = {level:g} uM: expected a finite concentration of at least {low:g}"
                )
            object.__setattr__(self, name, level)

    @classmethod
    def ring(cls, n_astrocytes: int, **coupling: Any) -> GapJunctions:
        """Each of at least 3 astrocytes coupled to the next, the last to the first."""
        n = _count("n_astrocytes", n_astrocytes, 3, "a ring")
        first = np.arange(n)
        return cls(n, np.stack([first, (first + 1) % n], axis=1), **coupling)

    @classmethod
    def chain(cls, n_astrocytes: int, **coupling: Any) -> GapJunctions:
        """Each of at least 2 astrocytes coupled to the next."""
        n = _count("n_astrocytes", n_astrocytes, 2, "a chain")
        first = np.arange(n - 1)
        return cls(n, np.stack([first, first + 1], axis=1), **coupling)

    @classmethod
    def grid(cls, rows: int, columns: int, periodic: bool = False, **coupling: Any) -> GapJunctions:
        """Astrocyte row * columns + column coupled to those beside, above and below it; `periodic` joins opposite borders."""
        if not isinstance(periodic, (bool, np.bool_)):
            raise SimulationError(f"periodic = {shown(periodic)}: expected True or False")
        # A border of two would be joined to itself by a second edge between the same astrocytes.
        least = 3 if periodic else 1
        kind = "a periodic grid" if periodic else "a grid"
        rows, columns = _count("rows", rows, least, kind), _count("columns", columns, least, kind)
        _count("n_astrocytes", rows * columns, 2, kind)
        at = np.arange(rows * columns).reshape(rows, columns)
        if periodic:
            pairs = [(at, np.roll(at, -1, axis=1)), (at, np.roll(at, -1, axis=0))]
        else:
            pairs = [(at[:, :-1], at[:, 1:]), (at[:-1], at[1:])]
        edges = np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1) for a, b in pairs])
        return cls(rows * columns, edges, **coupling)

    @classmethod
    def from_edges(cls, edges: Any, n_astrocytes: int | None = None, **coupling: Any) -> GapJunctions:
        """Any graph; without `n_astrocytes` the greatest astrocyte that an edge names is the last one."""
        table = _pairs(edges)
        if n_astrocytes is None:
            if not table.size:
                raise SimulationError("edges = []: give at least one, or n_astrocytes")
            n_astrocytes = int(max(table.max(), 0)) + 1
        return cls(n_astrocytes, table, **coupling)

    @classmethod
    def from_file(cls, path: str | Path, n_astrocytes: int | None = None, **coupling: Any) -> GapJunctions:
        """The graph of a CSV file with the header ``from,to`` and one edge a line."""
        return cls.from_edges(read_edges(path), n_astrocytes, **coupling)

    @property
    def n_edges(self) -> int:
        return int(self.edges.shape[0])

    @property
    def unit(self) -> str:
        """Unit of the strength."""
        return STRENGTHS[self.form][1]

    @property
    def degrees(self) -> NDArray[np.int64]:
        """Junctions of each astrocyte, shape [n_astrocytes]."""
        return np.bincount(self.edges.ravel(), minlength=self.n_astrocytes)

    def copies(self, n_units: int, first_unit: int = 0) -> int:
        """How many copies of the graph `n_units` units make.

        Raises
        ------
        SimulationError
            They are no whole number of copies, or do not begin with one; or the strengths are of another number.
        """
        n = self.n_astrocytes
        if n_units % n or first_unit % n:
            raise SimulationError(
                f"{n_units} units from unit {first_unit} on with {n} coupled astrocytes: expected whole copies of the graph, "
                f"that is multiples of {n}"
            )
        count = n_units // n
        if self.strength.size not in (1, count):
            raise SimulationError(
                f"strength of the coupling has {self.strength.size} values: expected 1 or {count}, the copies of the graph"
            )
        return count

    def check_step(self, dt_astro: float) -> None:
        """Raise SimulationError where half a step of the exchange would not be accurate, hence far from unstable."""
        if not self.n_edges:
            return
        busiest, strongest = int(self.degrees.argmax()), float(self.strength.max())
        most = int(self.degrees[busiest])
        # The eigenvalues of a Laplacian reach up to twice its greatest degree.
        form = gap_junction.FORMS[self.form]
        fastest = 2.0 * most * gap_junction.steepest(form, strongest, self.theta, self.scale)
        if 0.5 * dt_astro * fastest > STABLE:
            what, also = ("F", "") if self.form == "linear" else ("F/(2 scale)", ", raise scale")
            raise SimulationError(
                f"strength of the coupling F = {strongest:g} {self.unit} with {most} junctions at astrocyte {busiest} and "
                f"dt_astro = {dt_astro:g} s: {what} x junctions x dt_astro is about {0.5 * dt_astro * fastest:.3g}, expected at "
                f"most {STABLE:g}; lower dt_astro to {2 * STABLE / fastest:.2g} s or less{also} or lower the strength"
            )

    def strengths(self, count: int) -> Array:
        """Strength in each of `count` copies, shape [count]."""
        return np.ascontiguousarray(np.broadcast_to(self.strength, count))

    def part(self, selection: slice, count: int) -> GapJunctions:
        """The coupling of a selection out of `count` copies."""
        return self if self.strength.size != count else replace(self, strength=self.strength[selection])

    def fluxes(self, ip3: Array) -> Array:
        """What each astrocyte gains, uM/s, at `ip3` [n_copies, n_astrocytes] or [n_astrocytes]; as the equation reads."""
        state = np.atleast_2d(ip3)
        a, b = self.edges.T
        difference = state[:, a] - state[:, b]
        strength = self.strengths(state.shape[0])[:, None]
        if self.form == "linear":
            j = -strength * difference
        else:
            above, below = (difference - self.theta) / self.scale, (difference + self.theta) / self.scale
            j = -strength / 2 * (np.tanh(above) + np.tanh(below))
        out = np.zeros_like(state)
        for row, flux in zip(out, j, strict=True):
            np.add.at(row, a, flux)
            np.add.at(row, b, -flux)
        return out.reshape(np.shape(ip3))

    def distances(self, sources: Any) -> NDArray[np.int64]:
        """Junctions on the shortest way from the nearest of `sources` to each astrocyte, -1 where there is none."""
        out = np.full(self.n_astrocytes, -1, dtype=np.int64)
        reached = np.zeros(self.n_astrocytes, dtype=bool)
        reached[np.asarray(sources, dtype=np.int64)] = True
        a, b = self.edges.T
        steps = 0
        new = reached.copy()
        while new.any():
            out[new] = steps
            ahead = np.zeros_like(reached)
            ahead[b[new[a]]] = True
            ahead[a[new[b]]] = True
            new = ahead & ~reached
            reached |= new
            steps += 1
        return out

    def to_record(self) -> dict[str, Any]:
        """JSON-ready: the graph, the form, and every value with unit, source and status."""
        usual, unit, origin = STRENGTHS[self.form]
        values: dict[str, tuple[Any, str, Provenance, Any]] = {
            "strength": (self.strength.tolist(), unit, origin, [usual])
        }
        if self.form == "threshold":
            values["theta"] = (self.theta, "uM", SOURCES["theta"], THETA)
            values["scale"] = (self.scale, "uM", SOURCES["scale"], SCALE)
        edges: Any = self.edges.tolist()
        if self.n_edges > MOST_LISTED:
            digest = hashlib.sha256(self.edges.astype("<i8").tobytes()).hexdigest()
            edges = {"count": self.n_edges, "sha256": digest}
        record: dict[str, Any] = {"n_astrocytes": self.n_astrocytes, "edges": edges, "form": self.form}
        for name, (value, its_unit, its_origin, default) in values.items():
            where = its_origin if value == default else Provenance("set by the user", "user")
            record[name] = {"value": value, "unit": its_unit, "source": where.source, "status": where.status}
        return record


def _count(name: str, value: Any, least: int, kind: str) -> int:
    number = whole(name, value, 1, MOST_UNITS, SimulationError)
    if number < least:
        raise SimulationError(f"{name} = {number}: {kind} needs at least {least}")
    memory.require(64.0 * number, f"{name} = {number}", "give fewer", SimulationError)
    return number


def _pairs(edges: Any) -> Edges:
    """`edges` as whole numbers of shape [n_edges, 2]."""
    try:
        empty = np.size(edges) == 0
    except ValueError:
        empty = False
    if empty:
        return np.empty((0, 2), dtype=np.int64)
    table = numbers("edges", edges, "1", SimulationError)
    if table.ndim != 2 or table.shape[1] != 2:
        raise SimulationError(f"edges = {shown(edges)}: expected pairs of astrocytes such as [[0, 1], [1, 2]]")
    bad = np.flatnonzero(~(np.isfinite(table) & (table == np.floor(table)) & (np.abs(table) < 2**53)).all(axis=1))
    if bad.size:
        raise SimulationError(f"edge {bad[0]} = {shown(table[bad[0]].tolist())}: expected whole numbers")
    return table.astype(np.int64)


def _checked_edges(edges: Any, n: int) -> Edges:
    table = _pairs(edges)
    outside = np.flatnonzero(((table < 0) | (table >= n)).any(axis=1))
    if outside.size:
        pair = table[outside[0]].tolist()
        raise SimulationError(
            f"edge {outside[0]} = {pair}: there are {n} astrocytes, counted from 0; correct the edge, or raise n_astrocytes"
        )
    loops = np.flatnonzero(table[:, 0] == table[:, 1])
    if loops.size:
        raise SimulationError(
            f"edge {loops[0]} = {table[loops[0]].tolist()}: joins an astrocyte to itself; leave it out"
        )
    ordered = np.sort(table, axis=1)
    _, first, where = np.unique(ordered, axis=0, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[where.ravel()] != np.arange(len(table)))
    if again.size:
        later = int(again[0])
        raise SimulationError(
            f"edge {later} = {table[later].tolist()}: the same astrocytes as edge {int(first[where.ravel()[later]])}; a junction "
            "passes IP3 both ways, so give each pair once"
        )
    return np.ascontiguousarray(table)


def read_edges(path: str | Path) -> Edges:
    """The edges in a CSV file with the columns ``from`` and ``to``, whole numbers from 0; lines with # are comments.

    Raises
    ------
    SimulationError
        The file is missing, unreadable, or holds something else; the message names the file and the line's place.
    """
    import pandas as pd

    source = Path(path)
    if not source.is_file():
        raise SimulationError(f"edges: no file {source}; expected a CSV file with the header from,to")
    memory.require(10 * source.stat().st_size, f"edges: {source}", "give a smaller graph", SimulationError)
    try:
        table = pd.read_csv(source, comment="#", skipinitialspace=True, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SimulationError(f"edges: {source} is not readable as CSV ({reason}); expected from,to") from error
    if list(table.columns) != ["from", "to"]:
        named = ",".join(str(name) for name in table.columns)
        raise SimulationError(f"edges: {source} has the header {shown(named)}; expected from,to")
    columns = []
    for name in ("from", "to"):
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
        wrong = np.flatnonzero(~np.isfinite(values) | (values < 0) | (values != np.floor(values)) | (values > 2**53))
        if wrong.size:
            text = table[name][int(wrong[0])]
            raise SimulationError(
                f"edges: {source}, edge {wrong[0] + 1}: {name} = {text!r}: expected a whole number from 0"
            )
        columns.append(values.astype(np.int64))
    return np.stack(columns, axis=1)
