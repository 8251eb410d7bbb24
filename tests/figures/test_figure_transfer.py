"""The figure of weight transfer: what it draws is its data, and its data are those of the transferred model."""

import numpy as np
import pandas as pd
import pytest

from figures import transfer


def made_up() -> pd.DataFrame:
    head = {"layer": 1, "head": 0, "query_norm": 2.0, "key_norm": 1.5, "orthogonal": True}
    rows = [
        {
            "part": "response",
            "series": series,
            "m": m,
            "token": t,
            "value": (t + 1.0) * factor,
            "balanced": True,
            **head,
        }
        for series, m, factor in (("exponential", 1e3, 1.2), ("exponential", 1e5, 1.01), ("softmax", np.nan, 1.0))
        for t in range(4)
    ]
    rows += [
        {"part": "error", "series": "exponential", "balanced": balanced, "m": m, "draw": draw,
         "value": (1 + draw) * m**-0.5, **head}
        for balanced in (False, True) for m in (16.0, 64.0) for draw in (0, 1)
    ]  # fmt: skip
    rows += [
        {"part": "bits", "series": kind, "orthogonal": orthogonal, "balanced": balanced, "m": m, "draw": draw,
         "value": 3.0 + m**-0.5 + draw}
        for kind, orthogonal, balanced in transfer.MAPS for m in (16.0, 64.0) for draw in (0, 1)
    ]  # fmt: skip
    rows += [{"part": "bits", "series": "softmax", "value": 3.0}, {"part": "bits", "series": "none", "value": 3.6}]
    return pd.DataFrame(rows)


def test_it_draws_the_response_the_error_and_the_task():
    left, middle, right = transfer.draw(made_up()).axes
    few, many, true = left.lines
    np.testing.assert_allclose(few.get_ydata() / true.get_ydata(), 1.2)
    np.testing.assert_allclose(many.get_ydata() / true.get_ydata(), 1.01)
    assert "10³" in few.get_label() and "10⁵" in many.get_label()
    np.testing.assert_allclose(middle.lines[0].get_ydata(), [1.5 / 4, 1.5 / 8])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [3.75, 3.625])
    levels = [line.get_ydata()[0] for line in right.lines if len(set(line.get_ydata())) == 1]
    assert levels == [3.0, 3.6]


@pytest.mark.slow
def test_its_data_are_those_of_a_trained_and_transferred_model():
    data = transfer.compute(quick=True)
    error = data[(data.part == "error") & (data.balanced == True)].groupby("m").value.mean()  # noqa: E712 (gaps elsewhere)
    assert error.iloc[-1] < 0.5 * error.iloc[0]
    bits = data[data.part == "bits"]
    soft = float(bits[bits.series == "softmax"].value.iloc[0])
    balanced = bits[(bits.balanced == True) & (bits.m == bits.m.max())].value  # noqa: E712
    assert (balanced - soft).abs().max() < 0.02
    response = data[data.part == "response"].pivot_table(
        index="token", columns="series", values="value", aggfunc="last"
    )
    assert (response.exponential / response.softmax - 1).abs().max() < 0.2
