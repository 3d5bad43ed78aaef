"""Objects that Stripe did not give when they were asked for by their ids: kept, counted and shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from payhealth.connectors.stripe import columns
from payhealth.connectors.stripe.errors import NotGivenError
from payhealth.domain.record import Record
from payhealth.domain.records import Rejected

if TYPE_CHECKING:
    import pyarrow as pa


def rejected(
    connector: str, resource: str, failures: Mapping[str, NotGivenError]
) -> dict[type[Record], pa.Table]:
    """A rejected record for each object, so that one of them does not keep the others waiting for ever.

    Args:
        resource: the list that the objects are in.
        failures: id -> what asking for it ended with.
    """
    rows = [
        {
            "stream": resource,
            "object_id": object_id,
            "reason": f"Stripe did not give it: {failure.why}",
            "raw": orjson.dumps({"id": object_id}).decode(),
        }
        for object_id, failure in sorted(failures.items())
    ]
    return {Rejected: columns.table(Rejected, rows, connector)} if rows else {}
