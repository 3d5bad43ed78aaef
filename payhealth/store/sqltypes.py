"""Column types that keep amounts and moments exact on databases that would bend them.

==========  ============================  ==================  =============================================
kind        SQLite                        PostgreSQL          why
==========  ============================  ==================  =============================================
amount      TEXT, ``ordered_key``         NUMERIC(38, 18)     SQLite turns 1E-18 into 0; the key sorts
moment      TEXT, ``…T12:00:00.000000Z``  TIMESTAMPTZ         27 characters always, so text order is time
integer     INTEGER                       BIGINT              an SQLModel ``int`` would be 32 bits
==========  ============================  ==================  =============================================
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Boolean, DateTime, Double, Integer, Numeric, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from payhealth.domain.money import PRECISION, SCALE, checked, from_ordered_key, ordered_key
from payhealth.domain.times import utc
from payhealth.store.spec import Kind


class ExactAmount(TypeDecorator[Decimal]):
    """A decimal of 38 digits with 18 after the point; out of that domain it raises, never rounds."""

    impl = Numeric(PRECISION, SCALE)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text on SQLite, NUMERIC(38, 18) elsewhere."""
        return dialect.type_descriptor(
            Text() if dialect.name == "sqlite" else Numeric(PRECISION, SCALE, asdecimal=True)
        )

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Refuse what PostgreSQL would round silently."""
        if value is None:
            return None
        return ordered_key(value) if dialect.name == "sqlite" else checked(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """The exact amount."""
        if value is None:
            return None
        return from_ordered_key(value) if dialect.name == "sqlite" else Decimal(value)


class UtcMoment(TypeDecorator[datetime]):
    """An aware moment to the microsecond; a naive one raises."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text on SQLite, TIMESTAMPTZ elsewhere."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """UTC, as text of fixed width where the database has no moments."""
        if value is None:
            return None
        return moment_text(value) if dialect.name == "sqlite" else utc(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy calls it so
        """The moment in UTC."""
        if value is None:
            return None
        return utc(datetime.fromisoformat(value) if isinstance(value, str) else value)


def moment_text(moment: datetime) -> str:
    """ISO 8601 in UTC, always with six digits of a second and a Z: text order is time order."""
    return utc(moment).isoformat(timespec="microseconds").replace("+00:00", "Z")


BIG = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both; on SQLite spelled INTEGER, so that a primary key is the row id itself."""

SQL_TYPES: dict[Kind, TypeEngine[Any]] = {
    Kind.TEXT: Text(),
    Kind.INTEGER: BIG,
    Kind.BOOLEAN: Boolean(),
    Kind.MONEY: ExactAmount(),
    Kind.MOMENT: UtcMoment(),
    Kind.REAL: Double(),
}
