"""What an amount of one asset is worth in another, by a table of prices; never guessed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.errors import InputError
from payhealth.domain.money import UNIT
from payhealth.matching.exact import WIDE, Index, Ints, Mask, Units, to_ints
from payhealth.matching.fees import round_ratio
from payhealth.matching.policy import Rounding
from payhealth.matching.rows import Side, mask_of, microseconds


def value_of(movements: Side, wanted: pa.Array, rates: pa.Table | None, units: Units) -> tuple[Ints, Mask]:
    """Value each movement in the wanted asset: as it was settled, else at the latest price of its time.

    Args:
        movements: their amounts are wide where anything has a price.
        rates: columns of ``RATES``.

    Returns:
        The values (0 without a price) and which of them have no price.
    """
    amount, own, at_us = movements.amounts(units), movements.column("asset"), movements.at_us
    foreign = mask_of(pc.not_equal(own, wanted))
    value = amount.copy()
    value[foreign] = 0
    unpriced = foreign.copy()
    settled = np.flatnonzero(
        foreign & mask_of(pc.fill_null(pc.equal(movements.column("quote"), wanted), False))
    )
    if settled.size:
        prices = to_ints(movements.column("price").take(pa.array(settled)), WIDE).tolist()
        value[settled] = _products(amount[settled], prices, units)
        foreign[settled] = unpriced[settled] = False
    if rates is None or not rates.num_rows:
        return value, unpriced
    owns, quotes = own.dictionary_encode(), wanted.dictionary_encode()
    for number, asset in enumerate(owns.dictionary.to_pylist()):
        for other, quote in enumerate(quotes.dictionary.to_pylist()):
            rows = np.flatnonzero(
                foreign & (owns.indices.to_numpy() == number) & (quotes.indices.to_numpy() == other)
            )
            if rows.size:
                valid_us, prices = _prices(rates, asset, quote)
                found = np.searchsorted(valid_us, at_us[rows], side="right") - 1
                priced = rows[found >= 0]
                chosen = [prices[at] for at in found[found >= 0].tolist()]
                value[priced] = _products(amount[priced], chosen, units)
                unpriced[priced] = False
    return value, unpriced


def _prices(rates: pa.Table, asset: str, quote: str) -> tuple[Index, list[int]]:
    """The prices of a pair in order of their validity."""
    chosen = rates.filter(pc.and_(pc.equal(rates["asset"], asset), pc.equal(rates["quote"], quote)))
    chosen = chosen.sort_by([("valid_from", "ascending"), ("price", "ascending")])
    valid_us, prices = microseconds(chosen["valid_from"]), to_ints(chosen["price"], WIDE).tolist()
    for number in range(1, len(prices)):
        if valid_us[number] == valid_us[number - 1] and prices[number] != prices[number - 1]:
            raise InputError(f"two prices of {asset} in {quote} are valid from the same moment")
    return valid_us, prices


def _products(amounts: Ints, prices: list[int], units: Units) -> Ints:
    values = [
        round_ratio(amount * units.factor * price, UNIT, Rounding.HALF_EVEN)
        for amount, price in zip(amounts.tolist(), prices, strict=True)
    ]
    return units.array([units.whole(value) for value in values])
