"""Wrong input: one clear error of this package that names the thing, before any work, whatever was given for a number."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import biosim
from biosim import Clock, Ensemble, ParameterError, SimulationError, memory, parameter_set, run_ensemble
from biosim.checks import numbers, real, whole
from biosim.engines import brian_engine, numba_engine, reference
from biosim.messages import shown
from biosim.parameters import quantity_names
from biosim.processes import linear

QUICK = {"duration": 0.1, "settle": 0.0}
OPTIONS = {
    "fig3": {"rates": [1.0], "trials": 1, **QUICK},
    "rate_sweep": {"rates": [1.0], "trials": 1, **QUICK},
    "constant_ip3": {"ip3": [0.3], **QUICK},
    "pulse_train": {"rates": [1.0], "trials": 1, "pulse": 0.1, "period": 0.2, "number": 1, "first": 0.1, "sampling": 0.1},
    "impulse_response": {"sizes": [0.001], "at": 0.0, "length": 0.1, "duration": 0.2, "sampling": 0.1},
    "self_repair": {"shares": [0.5], "trials": 1, "fault_time": 0.1, "duration": 0.2, "before": 0.1, "after": 0.1, "bin": 0.1},
    "spikes": {"spikes": [[0.05], [0.1]], "duration": 0.2, "trials": 1, "sampling": 0.1},
}  # fmt: skip

# What a person or a script gives by mistake. The last two have no float and, the very last, no decimal text either.
WRONG = [
    "abc", "", None, True, False, [1, 2], [[1], [2, 3]], [], {}, b"1", 1j, math.nan, math.inf, -math.inf, 0, -1, 1.5, 1e300,
    1e-300, 2**70, np.array(["a"]), np.datetime64("2020"), np.timedelta64(5, "s"), len, [None], [True], ["1"],
    [10**400], 10**400, 10**5000, -(10**400),
]  # fmt: skip
IDS = [shown(value)[:30] for value in WRONG]


@pytest.fixture
def idle(monkeypatch):
    """Engines that must not be reached."""
    for module in (numba_engine, reference, brian_engine):
        monkeypatch.setattr(module, "run", lambda *a, **k: pytest.fail("work began before the refusal"))


def _refused(call, *names):
    """`call` raises an error of ours, in one line of ordinary length that says one of `names`, and warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError) as caught:
            call()
    text = str(caught.value)
    assert type(caught.value).__module__.startswith("biosim."), repr(caught.value)
    assert "\n" not in text and len(text) < 600, text
    assert any(name in text for name in names), text


# What of it is right, by option or field, in the words of `shown`.
RIGHT = {
    "parameters": {"None"}, "rates": {"[1, 2]", "0", "1.5", "1e-300"}, "ip3": {"None", "[1, 2]", "1.5"}, "duration": {"1.5"},
    "settle": {"0"}, "record": {"None"}, "seed": {"0"}, "engine_options": {"None", "{}"},
    "period": {"1.5"}, "first": {"0", "1.5"}, "sizes": {"None", "[1, 2]", "0", "1.5", "1e-300"}, "at": {"0"},
    "length": {"0", "1.5"}, "shares": {"None", "0", "1e-300"}, "synapses": {"None"}, "neuron": {"0"},
    "rate": {"0", "1.5", "1e-300"}, "mean_PR0": {"None"}, "spikes": {"{}"}, "sampling": {"None"},
}  # fmt: skip
RIGHT_CLOCK = {"duration": {"1.5"}, "settle": {"0", "1.5"}, "record": {"None", "1.5"}}
RIGHT_ENSEMBLE = {
    "rate": RIGHT["rates"], "overrides": {"{}"}, "spread": {"True", "False"}, "seed": {"0"}, "first_unit": {"0"},
}  # fmt: skip
NAMES = {
    "parameters": ("parameter set",),
    "rates": ("rate",),
    "ip3": ("ip3", "IP3_rest"),
    "sizes": ("size",),
    "shares": ("share",),
    "spikes": ("spike",),
}


@pytest.mark.parametrize("value", WRONG, ids=IDS)
@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_of_every_protocol(idle, name, value):
    import inspect

    for option in [*inspect.signature(biosim.PROTOCOLS[name]).parameters, "seed", "record", "engine", "engine_options"]:
        # Only the protocol spikes has no need of traces, and its duration follows from the spikes.
        given = (name, option) in {("spikes", "sampling"), ("spikes", "duration")}
        if (shown(value) in RIGHT.get(option, ()) and (given or option != "sampling")) or (given and value is None):
            continue
        _refused(lambda o=option: biosim.simulate(name, **(OPTIONS[name] | {o: value})), *NAMES.get(option, (option,)))


@pytest.mark.parametrize("value", WRONG, ids=IDS)
def test_protocols_engines_and_their_options(idle, value):
    _refused(lambda: biosim.simulate(value), "protocol")
    _refused(lambda: biosim.protocol(value), "protocol")
    base = biosim.protocol("fig3", **OPTIONS["fig3"])
    _refused(lambda: biosim.swept(base, value, [1.0]), "parameter")
    if shown(value) not in ("[1, 2]", "1.5"):
        _refused(lambda: biosim.swept(base, "Ca_th", value), "Ca_th")


@pytest.mark.parametrize("value", WRONG, ids=IDS)
def test_threads(value):
    if value is None or (type(value) is int and value > 0):
        return
    ensemble = biosim.protocol("fig3", **OPTIONS["fig3"]).ensemble()
    _refused(lambda: run_ensemble(ensemble, threads=value), "threads")


@pytest.mark.parametrize("value", WRONG, ids=IDS)
@pytest.mark.parametrize("field", ["duration", "settle", "dt", "dt_astro", "record"])
def test_every_field_of_the_clock(field, value):
    if shown(value) in RIGHT_CLOCK.get(field, ()):
        Clock(**({"duration": 2.0} | {field: value}))
        return
    _refused(lambda: Clock(**({"duration": 2.0} | {field: value})), field)


@pytest.mark.parametrize("value", WRONG, ids=IDS)
@pytest.mark.parametrize(
    "field", ["parameters", "clock", "rate", "overrides", "input", "release", "spread", "seed", "first_unit"]
)
def test_every_field_of_the_ensemble(field, value):
    base = {"parameters": parameter_set("psu"), "clock": Clock(0.1), "rate": np.ones(2)}
    if shown(value) in RIGHT_ENSEMBLE.get(field, ()):
        Ensemble(**(base | {field: value}))
        return
    _refused(lambda: Ensemble(**(base | {field: value})), field)
    _refused(lambda: Ensemble(**base, overrides={"PR0": value}), "PR0")


NO_QUANTITY = [value for value in WRONG if shown(value) not in ("0", "1.5", "1e-300")]


@pytest.mark.parametrize("value", NO_QUANTITY, ids=[shown(value)[:30] for value in NO_QUANTITY])
def test_every_parameter(value):
    """Among them 1e300 and 1e-300, which are numbers, but of no quantity of the model."""
    for name in quantity_names():
        if (value is None and name.endswith("_init")) or (shown(value) == "-1" and name == "K_AG"):
            continue
        _refused(lambda n=name: parameter_set("wade2012").with_values(**{n: value}), name)


@pytest.mark.parametrize("name", ["tau_AG", "k_ER", "v_th", "Ca_th"])
def test_a_positive_quantity_has_a_least_size(name):
    with pytest.raises(ParameterError, match=rf"{name} = 1e-300 .*: expected 1e-09 to 1e\+09"):
        parameter_set("wade2012").with_values(**{name: 1e-300})
    assert getattr(parameter_set("wade2012").with_values(**{name: 1e-9}), name) == 1e-9


@pytest.mark.parametrize("value", WRONG, ids=IDS)
def test_fixed_points_and_hopf_points(value):
    constants = parameter_set("wade2012")
    if shown(value) not in ("0", "1.5", "1e-300"):
        _refused(lambda: biosim.rest_state(value, constants), "ip3")
        _refused(lambda: biosim.hopf_points(constants, low=value), "low")
        _refused(lambda: biosim.hopf_points(constants, high=value), "high")
    _refused(lambda: biosim.hopf_points(constants, samples=value), "samples")


def test_numbers_of_other_kinds_are_taken():
    """What is refused above is not refused for being unusual: numpy's scalars and integers are numbers."""
    clock = Clock(np.float32(0.5), np.int64(0), dt=np.float64(1e-3), record=np.array(0.25))
    assert clock == Clock(0.5, 0.0, record=0.25)
    assert type(clock.duration) is float and type(Clock(1).duration) is float
    ensemble = Ensemble(parameter_set("psu"), clock, range(3), seed=np.uint8(7), overrides={"PR0": (0, 0.5, 1)})
    assert ensemble.rate.tolist() == [0.0, 1.0, 2.0] and ensemble.seed == 7 and type(ensemble.seed) is int
    assert ensemble.values("PR0").tolist() == [0.0, 0.5, 1.0]


def test_quantities_are_no_numbers():
    brian2 = pytest.importorskip("brian2")
    for wrong in (5 * brian2.Hz, [5 * brian2.Hz], np.arange(3) * brian2.Hz):
        with pytest.raises(SimulationError, match=r"rates = .*: expected numbers in Hz, not quantities"):
            biosim.protocol("fig3", rates=wrong)
    with pytest.raises(SimulationError, match=r"duration = .*: expected one number in s, not a quantity"):
        Clock(1 * brian2.second)


def test_values_in_messages_are_short_and_in_one_line():
    assert shown("a\nb") == r"'a\nb'" and shown(np.zeros((30, 30))).count("\n") == 0
    assert len(shown(list(range(10_000)))) == 80
    assert shown(10**400) == "a whole number of about 400 digits"
    assert shown([10**5000]) == "an object of type list"
    assert (shown(True), shown(1e300), shown(None)) == ("True", "1e+300", "None")


def test_checks_return_what_they_checked():
    assert real("x", 10**400, "s", SimulationError) == math.inf
    assert real("x", -(10**400), "s", SimulationError) == -math.inf
    assert whole("n", 2**70, 1, None, SimulationError) == 2**70
    assert numbers("x", [[1, 2], [3, 4]], "s", SimulationError).shape == (2, 2)
    with pytest.raises(SimulationError, match="n = 5: expected a whole number from 1 to 4"):
        whole("n", 5, 1, 4, SimulationError)


# Times ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"duration": 2e9}, r"duration = 2000000000.0 s: expected a time from 1e-09 s to 1e\+09 s"),
        ({"dt": 1e-10}, "dt = 1e-10 s: expected a time from"),
        (
            {"duration": 1e9, "dt": 1e-5},
            r"duration = 1000000000.0 s with dt = 1e-05 s: more than 1e\+12 steps; shorten",
        ),
        ({"record": 1e-9}, "record = 1e-09 s: expected a whole multiple of 0.01 s"),
    ],
)
def test_times_that_no_run_can_have(times, message):
    with pytest.raises(SimulationError, match=message):
        Clock(**({"duration": 1.0} | times))


def test_regular_input_with_steps_of_parts_of_nanoseconds():
    ensemble = Ensemble(parameter_set("psu"), Clock(3e-8, dt=1.5e-9, dt_astro=3e-9), np.ones(1), input="regular")
    with pytest.raises(SimulationError, match=r"dt = 1.5e-09 s: regular input needs a whole number of nanoseconds"):
        ensemble.regular_increment()


def test_streams_have_an_end():
    with pytest.raises(SimulationError, match=f"first_unit = {2**40}: expected a whole number from 0 to {2**40 - 2}"):
        Ensemble(parameter_set("psu"), Clock(0.1), np.ones(2), first_unit=2**40)


# Memory ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def one_gib(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: memory.GIB)


def test_more_trials_than_any_machine_holds():
    """No fixture: this must not depend on the machine, and must not begin to allocate."""
    with pytest.raises(SimulationError, match=r"trials = 99999999999: needs about 2.98e\+03 GiB of memory, more than"):
        biosim.protocol("fig3", trials=99_999_999_999)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fig3", {"trials": 40_000_000}, r"trials = 40000000: needs about 1.19 GiB of memory, more than the 1 GiB that are"),
        ("fig3", {"trials": 300_000}, r"10 \(input_rate\) x 300000 \(trial\) = 3000000 units: needs .* give fewer"),
        ("fig3", {"record": 0.01, "trials": 50}, "record = 0.01 s over duration = 400.0 s makes 40000 samples for each of 500"),
        ("fig3", {"parameters": "big"}, "320 units of 5000 neurons with 5000 synapses .* with the engine numba: needs"),
        ("rate_sweep", {"engine": "reference", "duration": 1e6, "rates": [0.0], "trials": 1}, "duration = 1000000.0 s with the"),
        ("fig3", {"engine": "brian2", "trials": 50_000}, r"500000 units .* over duration = 400.0 s with the engine brian2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(idle, one_gib, name, options, message):
    if options.get("parameters") == "big":
        options = {"parameters": parameter_set("wade2012").with_values(n_neurons=5000, n_synapses=5000)}
    with pytest.raises(SimulationError, match=message):
        biosim.simulate(name, **options)


def test_traces_that_no_file_may_hold_are_refused_before_the_work(idle, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 2**50)
    with pytest.raises(SimulationError, match=r"record = 0.01 s .* more than 16 GiB of traces, which no file may hold"):
        biosim.simulate("fig3", trials=500, record=0.01)


def test_exhausted_memory_is_an_error_of_the_input(monkeypatch):
    def exhausted(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(numba_engine, "run", exhausted)
    with pytest.raises(SimulationError, match=r"1 units of 2 neurons .*: the memory is exhausted; give fewer"):
        biosim.simulate("fig3", **OPTIONS["fig3"])


def test_the_estimate_is_near_what_a_run_takes():
    """Arrays of a run of many units and of one with long traces, as tracemalloc counts numpy's allocations."""
    import tracemalloc

    for trials, duration, record in ((20_000, 0.02, None), (50, 20.0, 0.01)):
        protocol = biosim.protocol("rate_sweep", rates=[5.0], trials=trials, duration=duration, settle=0.0)
        ensemble = protocol.with_clock(record=record).ensemble()
        run_ensemble(ensemble)
        tracemalloc.start()
        run_ensemble(ensemble)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert 0.4 < peak / numba_engine.memory_needed(ensemble) < 1.0, (trials, peak)


def test_available_memory_is_that_of_this_machine(tmp_path, monkeypatch):
    assert 2**26 < memory.available() < 2**50
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CONTAINER", (str(limit), str(tmp_path / "none")))
    limit.write_text("12345678\n")
    assert memory.available() == 12_345_678
    limit.write_text("max\n")
    assert memory.available() > 2**26


# Values at the edge that are allowed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau_x", "tau_y"), [(10.0, 1e-9), (1e-9, 10.0), (10.0, 8e-6), (8e-6, 10.0), (1e9, 1e-9)])
def test_transfer_between_time_constants_far_apart(tau_x, tau_y):
    """k (exp(-dt/tau_x) - exp(-dt/tau_y)) / (1/tau_y - 1/tau_x), where the fast exponential has vanished."""
    dt, k = 1e-3, 0.5
    slow, fast = max(tau_x, tau_y), min(tau_x, tau_y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gain = float(linear.transfer(dt, tau_x, tau_y, k))
    assert gain == pytest.approx(k * math.exp(-dt / slow) / (1 / fast - 1 / slow), rel=1e-12)


# Reproducible in another process --------------------------------------------------------------------------------------

SCRIPT = """
import hashlib, sys
import numpy as np
import biosim
dataset = biosim.simulate("rate_sweep", rates=[3.0, 30.0], trials=40, duration=2.0, settle=1.0, record=0.5, seed=8,
                          engine_options={"threads": int(sys.argv[1])})
digest = hashlib.sha256()
for name in sorted(dataset.variables):
    values = np.ascontiguousarray(dataset[name].values)
    digest.update(f"{name} {values.dtype} {values.shape}".encode() + values.tobytes())
print(digest.hexdigest(), biosim.provenance(dataset)["digest"], biosim.provenance(dataset)["engine_notes"]["threads"])
"""


def test_two_processes_with_other_threads_give_the_same_bytes():
    def run(threads: int) -> list[str]:
        command = [sys.executable, "-c", SCRIPT, str(threads)]
        root = Path(biosim.__file__).parents[1]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout.split()

    one, other = run(1), run(3)
    assert one[:2] == other[:2]
    # Otherwise nothing was compared.
    assert (one[2], other[2]) == ("1", "3")
