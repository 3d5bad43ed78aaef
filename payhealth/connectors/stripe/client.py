"""Reading Stripe's lists and objects, as raw JSON.

Source: https://docs.stripe.com/api/pagination
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from payhealth.connectors.stripe.errors import IncompleteError, NotPermittedError
from payhealth.connectors.stripe.fields import is_id
from payhealth.connectors.stripe.http import Answer, CursorGoneError, Params, StripeHttp
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.domain.errors import SourceDataError, SourceUnavailableError

PAGE_OBJECTS = 100
"""Stripe's largest page; its default is ten."""

_RESTARTS_MAX = 3
_STEPS = frozenset({".", ".."})
"""Quoting leaves them as they are, and as a part of a path they lead to another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list, newest first.

    Args:
        read_at: the server's clock when it answered, cut to the second; None where it does not say.
        requests: how many requests it took, repeated ones included.
    """

    objects: list[Any]
    has_more: bool
    read_at: datetime | None = None
    requests: int = 1


class StripeClient:
    """What payhealth asks of Stripe's API.

    Args:
        connector: the connector's name, for messages.
        transport: what carries requests, the network unless told otherwise.
        http_options: clock and jitter for tests, see :class:`StripeHttp`.
    """

    def __init__(
        self,
        connector: str,
        settings: StripeSettings,
        *,
        transport: httpx.BaseTransport | None = None,
        **http_options: Callable[..., Any],
    ) -> None:
        self._connector = connector
        self._http = StripeHttp(connector, settings, transport=transport, **http_options)

    @property
    def provider(self) -> str:
        """Who answers: the server's host name."""
        return self._http.provider

    @property
    def requests(self) -> int:
        """How many requests went out, repeated ones included; of all threads."""
        return self._http.requests

    def close(self) -> None:
        """Give connections back."""
        self._http.close()

    def pages(
        self, resource: str, *, created_from_s: int, created_to_s: int, expand: tuple[str, ...] = ()
    ) -> Iterator[Page]:
        """Every page of a list whose objects were created in ``[from, to)`` unix seconds.

        Where the object that a page was to start after is gone, the list is begun again; what was shown
        already comes a second time then, and callers know an object by its id.

        Raises:
            SourceError: a page could not be read.
        """
        bounds = {"created[gte]": str(created_from_s), "created[lt]": str(created_to_s)}
        yield from self.listed(resource, bounds, expand=expand)

    def listed(
        self, resource: str, filters: Mapping[str, str], *, expand: tuple[str, ...] = ()
    ) -> Iterator[Page]:
        """Every page of a list under these filters; as :meth:`pages`.

        No object is gone on from twice, so that pages that name each other come to an end.
        """
        params: dict[str, str | list[str]] = {"limit": str(PAGE_OBJECTS), **filters}
        if expand:
            params["expand[]"] = [f"data.{name}" for name in expand]
        restarts = 0
        after: str | None = None
        used: set[str] = set()
        while True:
            try:
                page = self._page(resource, params if after is None else {**params, "starting_after": after})
            except CursorGoneError:
                restarts, after, used = restarts + 1, None, set()
                if restarts > _RESTARTS_MAX:
                    raise SourceUnavailableError(
                        f"{self._connector}: objects vanish from {resource} while it is read",
                        hint="the next pull goes on from here",
                    ) from None
                continue
            yield page
            if not page.has_more:
                return
            after = self._next_cursor(resource, page, used)
            used.add(after)

    def first(self, resource: str) -> Page:
        """Ask for one object of a list, to learn whether the key may.

        Raises:
            SourceError: it may not, or nobody answered.
        """
        return self._page(resource, {"limit": "1"})

    def single(self, resource: str, *, missing_ok: bool = False) -> Answer:
        """What stands at ``/v1/<resource>`` itself, such as the balance."""
        return self._http.send(resource, f"/v1/{resource}", {}, missing_ok=missing_ok)

    def fetch(self, resource: str, object_id: str, *, expand: tuple[str, ...] = ()) -> Answer:
        """One object by its id; the answer's body is None where there is none.

        What can be no id names no object of Stripe's, and nothing is asked for.

        Raises:
            NotGivenError: Stripe does not give this one.
            SourceError: it gives none at present.
        """
        if not is_id(object_id) or object_id in _STEPS:
            return Answer(body=None, read_at=None, requests=0)
        path = f"/v1/{resource}/{quote(object_id, safe='')}"
        params = {"expand[]": list(expand)} if expand else {}
        return self._http.send(f"{resource}/id", path, params, missing_ok=True)

    def post(self, path: str, form: Mapping[str, str | list[str]]) -> Any:
        """Ask Stripe to prepare something (a report); nothing that payhealth sends moves money.

        Raises:
            SourceError: refused, or nobody answered.
        """
        return self._http.send(path.removeprefix("/v1/"), path, {}, form=form).body

    def can_write(self) -> bool:
        """Whether the key may refund: asked with a request that lacks what any refund needs.

        Raises:
            SourceError: nobody answered, or with something that says neither.
        """
        try:
            self.post("/v1/refunds", {})
        except NotPermittedError:
            return False
        except IncompleteError:
            # Refused for what is missing, so it was not refused for who asks.
            return True
        return True

    def stream_lines(self, url: str) -> Iterator[bytes]:
        """The lines of a file of Stripe's, without line ends, as they arrive.

        Raises:
            SourceError: the file could not be read to its end.
        """
        return self._http.lines(url)

    def _page(self, resource: str, params: Params) -> Page:
        answer = self._http.send(resource, f"/v1/{resource}", params)
        body = answer.body
        objects = body.get("data") if isinstance(body, dict) else None
        has_more = body.get("has_more") if isinstance(body, dict) else None
        if not isinstance(objects, list) or not isinstance(has_more, bool):
            raise SourceDataError(
                f"{self._connector}: the answer to {resource} is no list of Stripe's", hint="check api_base"
            )
        return Page(objects=objects, has_more=has_more, read_at=answer.read_at, requests=answer.requests)

    def _next_cursor(self, resource: str, page: Page, used: Container[str]) -> str:
        ids = [item["id"] for item in page.objects if isinstance(item, dict) and is_id(item.get("id"))]
        if not ids:
            raise SourceDataError(
                f"{self._connector}: the list of {resource} does not go on: no object of a page has an id"
            )
        if ids[-1] in used:
            raise SourceDataError(
                f"{self._connector}: the list of {resource} does not go on: it leads back to where it was"
            )
        return str(ids[-1])
