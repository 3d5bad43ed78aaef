"""Intervals for small counts; scipy does the arithmetic.

Source: Wilson's score interval for proportions; the exact (Garwood) interval for Poisson counts.
"""

from __future__ import annotations


def wilson_interval(successes: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson interval of a proportion; (0, 1) without trials.

    Args:
        successes: 0 to trials.
        trials: how many were observed.
        confidence: two-sided, between 0 and 1.
    """
    if trials == 0:
        return (0.0, 1.0)
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(confidence_level=confidence, method="wilson")
    return (float(interval.low), float(interval.high))


def poisson_interval(count: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a Poisson mean, given one observed count."""
    from scipy.stats import chi2

    tail = (1 - confidence) / 2
    lower = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    return (lower, float(chi2.ppf(1 - tail, 2 * (count + 1))) / 2)
