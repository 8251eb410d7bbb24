"""The value of a ListOps expression, by a stack of open lists over its symbols; independent of how expressions are made.

Nangia and Bowman, "ListOps: A Diagnostic Dataset for Latent Tree Learning", NAACL 2018 student workshop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..choices import did_you_mean
from ..errors import ModelError


def _median(values: list[int]) -> int:
    """The whole part of the median: of an even number of values the mean of the two in the middle."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) // 2


OPERATIONS: dict[str, Callable[[list[int]], int]] = {
    "[MIN": min,
    "[MAX": max,
    "[MED": _median,
    "[SM": lambda values: sum(values) % 10,
    # Not of the task; two of the four published variants have them in place of the median and the sum.
    "[FIRST": lambda values: values[0],
    "[LAST": lambda values: values[-1],
}


def evaluate(expression: str | Iterable[str]) -> int:
    """The value 0 to 9 of an expression such as ``[MAX 2 [MIN 4 7 ] 0 ]``, as one string or symbol by symbol.

    Parentheses change nothing, but must close what they open. Raises ModelError, naming the place counted from 1, for an
    expression that is empty, has an unknown symbol, a list that is not closed or not opened, a list of nothing, or more than
    one value.
    """
    symbols = expression.split() if isinstance(expression, str) else expression
    # The lowest entry collects what stands outside of every list: in the end, one value.
    lists: list[list[int]] = [[]]
    operators: list[tuple[str, int]] = []
    depth, place = 0, 0
    for place, symbol in enumerate(symbols, 1):
        if symbol in ("(", ")"):
            depth += 1 if symbol == "(" else -1
            if depth < 0:
                raise ModelError(f"symbol {place} of the expression is ')' and nothing is open; expected '(' before it")
        elif symbol in OPERATIONS:
            operators.append((symbol, place))
            lists.append([])
        elif symbol == "]":
            if not operators:
                raise ModelError(f"symbol {place} of the expression is ']' and no list is open; expected a value")
            operator, opened = operators.pop()
            values = lists.pop()
            if not values:
                raise ModelError(
                    f"{operator} at symbol {opened} of the expression has no values; expected at least one"
                )
            lists[-1].append(OPERATIONS[operator](values))
        elif len(symbol) == 1 and symbol in "0123456789":
            lists[-1].append(int(symbol))
        else:
            raise ModelError(
                f"symbol {place} of the expression is {symbol!r}: {did_you_mean(symbol, OPERATIONS)}expected a digit, "
                f"{', '.join(OPERATIONS)}, ], ( or )"
            )
    if place == 0:
        raise ModelError("the expression is empty; expected a digit or a list such as [MAX 2 9 ]")
    if operators:
        operator, opened = operators[-1]
        raise ModelError(f"{operator} at symbol {opened} of the expression is not closed; expected ']' before its end")
    if depth:
        raise ModelError(f"{depth} parentheses of the expression are not closed; expected as many ')' as '('")
    if len(lists[0]) != 1:
        raise ModelError(f"the expression has {len(lists[0])} values outside of any list; expected one")
    return lists[0][0]
