"""Stripe's events as records: that an object changed, and what of the object they carried may be kept.

Source: https://docs.stripe.com/api/events/object
"""

from __future__ import annotations

from payhealth.connectors.stripe.fields import (
    JsonObject,
    UnfitError,
    linked_id,
    moment,
    number,
    part,
    required_id,
    required_text,
    text,
)
from payhealth.connectors.stripe.raw import raw_of
from payhealth.connectors.stripe.translate import Made, Rules
from payhealth.domain.records import SourceEvent

_SECONDS_MAX = 253_402_300_799


def event(found: JsonObject, rules: Rules) -> Made:
    """An event. Some are about an object without an id, such as the balance: theirs is empty."""
    data = part(found, "data")
    if type(data.get("object")) is not dict:
        raise UnfitError("data.object is missing")
    about = part(data, "object")
    object_type = required_text(about, "object")
    # An event is rendered in the version of its account or endpoint, not in the one that we ask for.
    version = text(found, "api_version") or ""
    row = {
        "event_id": required_id(found),
        "type": required_text(found, "type"),
        "object_type": object_type,
        "object_id": linked_id({"object": about}, "object") or "",
        "object_created_at": _created(about),
        "created_at": moment(found, "created"),
        "raw": raw_of(about, object_type, rules.kept_metadata, version),
    }
    return [(SourceEvent, row)]


def _created(about: JsonObject) -> int | None:
    """When the object was made, where it says; the event is news of it all the same."""
    seconds = number(about, "created")
    return seconds if seconds is not None and 0 < seconds <= _SECONDS_MAX else None
