"""Many calls to one endpoint: cut into requests that it takes, and never short of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from payhealth.connectors.evm.rpc.answers import MISSING
from payhealth.connectors.evm.rpc.endpoint import Call, Endpoint
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.domain.errors import SourceDataError, SourceUnavailableError

_FEWEST_CALLS = 2
"""A range is only believed with the head in the same request, so a batch of two must be possible."""
_ABOUT_ONE_CALL = frozenset(
    {
        FaultKind.BEYOND_HEAD,
        FaultKind.PRUNED,
        FaultKind.UNSUPPORTED,
        FaultKind.EXECUTION,
        FaultKind.OTHER,
    }
)
"""One error for a whole batch may be about one of its calls: of these kinds the others may do well."""


class NoBatchesError(SourceDataError):
    """The endpoint does not take two calls in one request."""


def ask_all(
    endpoint: Endpoint,
    calls: Sequence[Call],
    tail: Call | None = None,
    *,
    most: int | None = None,
    patient: bool = True,
) -> tuple[list[Any], list[Any]]:
    """As many requests as the calls need, the tail in each of them; faults as values.

    Args:
        most: most calls in one request, where fewer are wanted than the endpoint takes.

    Returns:
        A result a call, and the tail's result of each request that a result was taken from.

    Raises:
        NoBatchesError: not even two calls are taken in one request.
        SourceError: the endpoint does not answer, or refuses.
    """
    results: list[Any] = []
    tails: list[Any] = []
    while len(results) < len(calls):
        room = max(1, min(endpoint.batch_calls, most or endpoint.batch_calls) - (tail is not None))
        part = calls[len(results) : len(results) + room]
        try:
            answers, heads = _asked(endpoint, part, tail, patient=patient)
            _raise_batch_limit([*answers, *heads])
        except RpcFault as fault:
            if fault.kind is not FaultKind.BATCH_LIMIT:
                raise
            _take_fewer(endpoint, len(part) + (tail is not None), fault)
            continue
        results += answers
        tails += heads
    return results, tails


def in_one(
    endpoint: Endpoint, calls: Sequence[Call], *, patient: bool = True, attempts: int | None = None
) -> list[Any]:
    """One request, all answers from one response; faults as values.

    An endpoint that takes fewer calls in one request is remembered for it.
    """
    answers = endpoint.exchange(calls, patient=patient, attempts=attempts)
    limits = [one for one in answers if isinstance(one, RpcFault) and one.kind is FaultKind.BATCH_LIMIT]
    if limits and len(calls) > _FEWEST_CALLS:
        _take_fewer(endpoint, len(calls), limits[0])
    return answers


def _asked(
    endpoint: Endpoint, part: Sequence[Call], tail: Call | None, *, patient: bool
) -> tuple[list[Any], list[Any]]:
    """The answers of one part; what a request leaves out is asked again, with the tail, a few times."""
    found: list[Any] = [MISSING] * len(part)
    heads: list[Any] = []
    wanted = list(range(len(part)))
    for attempt in range(endpoint.attempts):
        answers, told = _requested(endpoint, [part[at] for at in wanted], tail, patient=patient)
        heads += told
        for at, answer in zip(wanted, answers, strict=True):
            found[at] = answer
        left = [at for at in wanted if found[at] is MISSING]
        if not left:
            return found, heads
        if len(left) == len(wanted) and attempt + 1 < endpoint.attempts:
            endpoint.pause(attempt + 1)
        wanted = left
    told_all = f"answered {len(part) - len(wanted)} of {len(part)} calls"
    if len(part) == 1:
        raise SourceUnavailableError(f"{endpoint.host}: {told_all} ({endpoint.attempts} attempts)")
    raise RpcFault(FaultKind.BATCH_LIMIT, told_all, whole=True)


def _requested(
    endpoint: Endpoint, calls: list[Call], tail: Call | None, *, patient: bool
) -> tuple[list[Any], list[Any]]:
    request = [*calls, tail] if tail is not None else calls
    answers = _or_its_fault(endpoint, request, patient=patient)
    fault = answers[0] if isinstance(answers[0], RpcFault) else None
    if fault is not None and len(calls) > 1 and _may_be_about_one_call(fault):
        half = len(calls) // 2
        first, some = _requested(endpoint, calls[:half], tail, patient=patient)
        second, others = _requested(endpoint, calls[half:], tail, patient=patient)
        return first + second, some + others
    if tail is None:
        return answers, []
    head = answers.pop()
    if head is MISSING:
        # Without the head of the same response nothing in it can be believed.
        return [MISSING] * len(calls), []
    return answers, [head]


def _may_be_about_one_call(fault: RpcFault) -> bool:
    # Our own bounds on an answer are met by the sum of its calls: fewer of them fit.
    return fault.whole and (fault.kind in _ABOUT_ONE_CALL or fault.ours)


def _or_its_fault(endpoint: Endpoint, request: Sequence[Call], *, patient: bool) -> list[Any]:
    """The answers, or the fault of a request that is too large as a whole in the place of each."""
    try:
        return endpoint.exchange(request, patient=patient, partial=True)
    except RpcFault as fault:
        return [fault] * len(request)


def _raise_batch_limit(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, RpcFault) and answer.kind is FaultKind.BATCH_LIMIT:
            raise answer


def _take_fewer(endpoint: Endpoint, calls: int, fault: RpcFault) -> None:
    tried = min(endpoint.batch_calls, max(calls, _FEWEST_CALLS))
    named = fault.limit if fault.limit is not None and fault.limit < tried else None
    smaller = tried // 2 if named is None else named
    if smaller < _FEWEST_CALLS:
        raise NoBatchesError(
            f"{endpoint.host}: does not answer JSON-RPC batches: {fault.message}",
            hint="payhealth needs an endpoint that takes at least two calls in one request",
        )
    endpoint.batch_calls = smaller
