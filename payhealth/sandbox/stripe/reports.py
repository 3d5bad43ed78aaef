"""Report runs and their files: the account's history as CSV.

A run shows what truly happened, lost and late objects included: reports are made from the books, not
from the lists.
Source: https://docs.stripe.com/reports/api and https://docs.stripe.com/reports/report-types
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import orjson

from payhealth.sandbox.stripe import report_rows
from payhealth.sandbox.stripe.errors import StripeRefusedError, missing
from payhealth.sandbox.stripe.ids import from_unix_s
from payhealth.sandbox.stripe.money_objects import DAY_S
from payhealth.sandbox.stripe.payouts import Payouts
from payhealth.sandbox.stripe.queries import unknown_parameter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import tzinfo

    from payhealth.sandbox.interfaces import StripeObject

FILES_URL: Final = "https://files.stripe.com"
"""Where Stripe serves files from; the server puts its own address in its place."""

_PREPARED_EVERY_S: Final = DAY_S // 2
_AMOUNTS: Final = ("currency", "gross", "fee", "net", "reporting_category", "description")
_BALANCE: Final = ("balance_transaction_id", "created", "available_on", *_AMOUNTS)
_RECONCILIATION: Final = ("automatic_payout_id", "automatic_payout_effective_at", *_BALANCE)
REPORT_TYPES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "balance_change_from_activity.itemized.3": ("Itemized balance change from activity", _BALANCE),
    "balance_change_from_activity.itemized.6": ("Itemized balance change from activity", _BALANCE),
    "payout_reconciliation.itemized.5": ("Itemized payout reconciliation", _RECONCILIATION),
}
"""The reports there are: their names and the columns they have when none are asked for."""

_NOT_ACTIVITY: Final = frozenset({"payout", "payout_reversal"})


class Reports(Payouts):
    """What prepares reports of the books."""

    _report_polls: int
    _report_polls_left: dict[str, int]
    _report_keys: dict[str, str]
    _report_error: str | None
    _file_contents: dict[str, list[bytes]]

    def create_report_run(
        self, report_type: str, parameters: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> StripeObject:
        """Begin a report at the account's now; it is ready after some polls (``poll_report_run``).

        Args:
            report_type: one of ``REPORT_TYPES``.
            parameters: ``interval_start`` (unix seconds, inclusive), ``interval_end`` (exclusive) and, as
                wanted, ``currency``, ``reporting_category``, ``timezone`` and ``columns``.
            idempotency_key: a second request with the same key gets the first one's run.

        Raises:
            StripeRefusedError: an unknown type, parameter or column, or data that is not prepared yet.
        """
        with self.lock:
            known = self._report_keys.get(idempotency_key or "")
            if known is not None:
                return self.report_runs.get(known)
            if report_type not in REPORT_TYPES:
                raise StripeRefusedError(f"Unrecognized report type: {report_type}", param="report_type")
            _check_parameters(report_type, parameters)
            self._check_interval(report_type, parameters)
            run: StripeObject = {
                "id": self._ids.new("frr"),
                "object": "reporting.report_run",
                "created": self._now_s,
                "error": None,
                "livemode": self.livemode,
                "parameters": dict(parameters),
                "report_type": report_type,
                "result": None,
                "status": "pending",
                "succeeded_at": None,
            }
            self._report_polls_left[run["id"]] = self._report_polls
            if idempotency_key:
                self._report_keys[idempotency_key] = run["id"]
            return self._add(self.report_runs, run)

    def fail_next_report(self, error: str) -> None:
        """Let the report run that ends next fail with a message of Stripe's."""
        self._report_error = error

    def poll_report_run(self, run: str) -> None:
        """Somebody asks how far a run is: its time comes nearer, and at last it is done."""
        with self.lock:
            left = self._report_polls_left.get(run)
            if left is None:
                return
            if left > 0:
                self._report_polls_left[run] = left - 1
                return
            del self._report_polls_left[run]
            self._end_report(run)

    def report_type(self, report_type: str) -> StripeObject:
        """A report type object.

        Raises:
            StripeRefusedError: there is no such type.
        """
        if report_type not in REPORT_TYPES:
            raise missing("report type", report_type)
        name, columns = REPORT_TYPES[report_type]
        return {
            "id": report_type,
            "object": "reporting.report_type",
            "data_available_end": self._prepared_s,
            "data_available_start": self.start_s,
            "default_columns": list(columns),
            "livemode": self.livemode,
            "name": name,
            "updated": self._prepared_s,
            "version": int(report_type.rpartition(".")[2]),
        }

    def file_contents(self, file: str) -> list[bytes]:
        """A file's contents, in chunks.

        Raises:
            StripeRefusedError: there is no such file.
        """
        contents = self._file_contents.get(file)
        if contents is None:
            raise missing("file upload", file)
        return contents

    @property
    def _prepared_s(self) -> int:
        """Up to when the data is prepared: twice a day."""
        return max(self.start_s, self._now_s // _PREPARED_EVERY_S * _PREPARED_EVERY_S)

    def _check_interval(self, report_type: str, parameters: Mapping[str, Any]) -> None:
        for name in ("interval_start", "interval_end"):
            if name not in parameters:
                raise _refused(f"Missing required param: {name}.", name, code="parameter_missing")
            at_s = parameters[name]
            if not self.start_s <= at_s <= self._prepared_s:
                bound_s, way = (
                    (self.start_s, "from") if at_s < self.start_s else (self._prepared_s, "through")
                )
                raise _refused(
                    f"Data for the report type {report_type} is only available {way} "
                    f"{_shown(bound_s)} UTC; you requested `{name}` = {_shown(at_s)} UTC.",
                    name,
                )
        if parameters["interval_start"] >= parameters["interval_end"]:
            raise _refused("`interval_start` must be before `interval_end`.", "interval_start")

    def _end_report(self, run: str) -> None:
        error, self._report_error = self._report_error, None
        if error is not None:
            fields: StripeObject = {"error": error, "status": "failed"}
            self._change(self.report_runs, run, fields, "reporting.report_run.failed")
            return
        current = self.report_runs.get(run)
        parameters = current["parameters"]
        columns = parameters.get("columns") or REPORT_TYPES[current["report_type"]][1]
        chunks = list(report_rows.csv_chunks(columns, self._lines(current["report_type"], parameters)))
        file = self._new_file(run, sum(map(len, chunks)))
        self._file_contents[file["id"]] = chunks
        fields = {"result": file, "status": "succeeded", "succeeded_at": self._now_s}
        self._change(self.report_runs, run, fields, "reporting.report_run.succeeded")

    def _new_file(self, run: str, size_bytes: int) -> StripeObject:
        object_id = self._ids.new("file")
        file = {
            "id": object_id,
            "object": "file",
            "created": self._now_s,
            "expires_at": self._now_s + 365 * DAY_S,
            "filename": f"{run}.csv",
            "links": {
                "object": "list",
                "data": [],
                "has_more": False,
                "url": f"/v1/file_links?file={object_id}",
            },
            "purpose": "finance_report_run",
            "size": size_bytes,
            "title": f"FinanceReportRun {run}",
            "type": "csv",
            "url": f"{FILES_URL}/v1/files/{object_id}/contents",
        }
        return self._add(self.files, file)

    def _lines(self, report_type: str, parameters: Mapping[str, Any]) -> Iterator[report_rows.Line]:
        start_s, end_s = parameters["interval_start"], parameters["interval_end"]
        zone = _zone(parameters.get("timezone"))
        if report_type.startswith("payout_reconciliation"):
            transactions = self._paid_out(start_s, end_s)
        else:
            transactions = self._activity(start_s, end_s)
        for transaction in transactions:
            wanted = [parameters.get(name) for name in ("currency", "reporting_category")]
            have = [transaction["currency"], transaction["reporting_category"]]
            if all(want in {None, value} for want, value in zip(wanted, have, strict=True)):
                yield self._line(transaction, zone)

    def _activity(self, start_s: int, end_s: int) -> Iterator[StripeObject]:
        """Everything that changed the balance but payouts, which have a report of their own."""
        for transaction in self.balance_transactions.made_in(start_s, end_s):
            if transaction["reporting_category"] not in _NOT_ACTIVITY:
                yield transaction

    def _paid_out(self, start_s: int, end_s: int) -> Iterator[StripeObject]:
        """What is in the automatic payouts that arrive in [start, end); the nets add up to each payout."""
        for payout in self.payouts.made_in(self.start_s, end_s):
            if payout["automatic"] and start_s <= payout["arrival_date"] < end_s:
                for object_id in self.balance_transactions.found("payout", payout["id"]):
                    if object_id != payout["balance_transaction"]:
                        yield self.balance_transactions.get(object_id)

    def _line(self, transaction: StripeObject, zone: tzinfo) -> report_rows.Line:
        source = self._object(transaction["source"])
        charge = source if source.get("object") == "charge" else self._object(source.get("charge"))
        intent = self._object(charge.get("payment_intent"))
        payout = self.balance_transactions.tag_of(transaction["id"], "payout")
        payments = self.invoice_payments.found("payment[payment_intent]", intent.get("id", ""))
        return report_rows.Line(
            transaction=transaction,
            source=source,
            charge=charge,
            intent=intent,
            customer=self._object(charge.get("customer")),
            payout=self._object(payout),
            invoice=self.invoice_payments.get(payments[-1])["invoice"] if payments else "",
            zone=zone,
        )

    def _object(self, object_id: str | None) -> StripeObject:
        collection = self.collection_of(object_id or "")
        body = None if collection is None else collection.body(object_id or "")
        return {} if body is None else dict(orjson.loads(body))


def _check_parameters(report_type: str, parameters: Mapping[str, Any]) -> None:
    known = {"interval_start", "interval_end", "currency", "reporting_category", "timezone", "columns"}
    for name in parameters:
        if name not in known:
            raise unknown_parameter(f"parameters[{name}]")
    for column in parameters.get("columns", ()):
        if report_rows.value_of(column) is None:
            raise _refused(f"Invalid column for {report_type}: {column}", "columns")
    _zone(parameters.get("timezone"))


def _zone(name: str | None) -> tzinfo:
    if name in {None, "Etc/UTC", "UTC"}:
        return UTC
    try:
        return ZoneInfo(str(name))
    except (KeyError, ValueError, OSError) as error:
        raise _refused(f"Invalid timezone: {name}", "timezone") from error


def _refused(message: str, name: str, code: str | None = None) -> StripeRefusedError:
    return StripeRefusedError(message, code=code, param=f"parameters[{name}]")


def _shown(at_s: int) -> str:
    return from_unix_s(at_s).strftime("%Y-%m-%d %H:%M:%S")
