"""A step length that satisfies the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable

# Loss and slope along the direction at a step length.
Evaluate = Callable[[float], tuple[float, float]]
Point = tuple[float, float, float]  # step length, loss, slope


def _cubic_minimum(a: Point, b: Point) -> float:
    """Where the cubic through both losses and slopes is least, kept off the ends; bisection where there is none.

    Source: Nocedal & Wright, "Numerical optimization", 2nd ed., equation 3.59.
    """
    (x, f, d), (y, g, e) = a, b
    low, high = min(x, y), max(x, y)
    middle = (x + y) / 2
    if x != y and all(map(math.isfinite, (f, g, d, e))):
        first = d + e - 3 * (f - g) / (x - y)
        square = first * first - d * e
        if square >= 0:
            second = math.copysign(math.sqrt(square), y - x)
            bottom = e - d + 2 * second
            if bottom:
                middle = y - (y - x) * (e + second - first) / bottom
    margin = 0.1 * (high - low)
    return min(max(middle, low + margin), high - margin)


def strong_wolfe(
    evaluate: Evaluate, loss: float, slope: float, step: float, c1: float = 1e-4, c2: float = 0.9, limit: int = 25
) -> tuple[float, int]:
    """A step length t with loss(t) <= loss + c1 t slope and |slope(t)| <= c2 |slope|.

    Args:
        evaluate: loss and slope at a step length.
        loss: at 0.
        slope: at 0; negative.
        step: the first guess, > 0.
        c1: share of the linear decrease that is demanded.
        c2: share of the slope that may be left.
        limit: evaluations at most; then the best step so far.

    Returns:
        The step length and the number of evaluations.

    Source: Nocedal & Wright, algorithms 3.5 and 3.6.
    """
    start: Point = (0.0, loss, slope)
    previous = start
    low: Point | None = None
    high = start
    count = 0
    while count < limit and low is None:
        value, here = evaluate(step)
        count += 1
        point: Point = (step, value, here)
        if not math.isfinite(value) or value > loss + c1 * step * slope or (count > 1 and value >= previous[1]):
            low, high = previous, point
        elif abs(here) <= -c2 * slope:
            return step, count
        elif here >= 0:
            low, high = point, previous
        else:
            previous, step = point, 2 * step
    if low is None:
        return previous[0], count
    while count < limit and abs(high[0] - low[0]) * abs(slope) > 1e-12 * max(abs(loss), 1e-300):
        step = _cubic_minimum(low, high)
        value, here = evaluate(step)
        count += 1
        point = (step, value, here)
        if not math.isfinite(value) or value > loss + c1 * step * slope or value >= low[1]:
            high = point
        else:
            if abs(here) <= -c2 * slope:
                return step, count
            if here * (high[0] - low[0]) >= 0:
                high = low
            low = point
    return low[0], count
