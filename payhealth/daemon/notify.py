"""Telling somebody: Apprise carries messages to whatever the targets name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from payhealth.domain.errors import ConfigurationError, DeliveryError
from payhealth.domain.results import CheckResult, Outcome
from payhealth.plugins import NotifierPlugin
from payhealth.ports import Notifier
from payhealth.report.escape import chat

QUIET = frozenset({Outcome.PASS, Outcome.NO_DATA})
MAX_LINES = 20


class AppriseNotifier:
    """One target of Apprise's.

    Args:
        target: an Apprise URL; it usually holds a token and is never shown.
    """

    def __init__(self, target: str) -> None:
        import apprise

        self._apprise = apprise.Apprise()
        if not self._apprise.add(target):
            raise ConfigurationError(
                "an alert target is not a URL that Apprise knows", hint="see [alerts] targets"
            )

    def send(self, title: str, body: str) -> None:
        """Deliver one message.

        Raises:
            DeliveryError: it did not arrive.
        """
        if not self._apprise.notify(title=title, body=body):
            raise DeliveryError("an alert could not be delivered to its target")


PLUGIN = NotifierPlugin(scheme="apprise", build=AppriseNotifier)


def message(previous: Mapping[str, str], results: Sequence[CheckResult]) -> tuple[str, str] | None:
    """One message for everything that changed between two evaluations, None where nothing did.

    Lost data resolves nothing: a check that goes from fail to stale, or to no data, is told as that, not
    as mended.
    """
    changed = [result for result in results if _changed(previous.get(result.check), result.outcome)]
    if not changed:
        return None
    worse = [result for result in changed if result.outcome is not Outcome.PASS]
    title = f"payhealth: {len(worse)} to look at" if worse else f"payhealth: {len(changed)} back to normal"
    mended = [result for result in changed if result.outcome is Outcome.PASS]
    lines = [f"{result.outcome}: {result.check}: {chat(result.message)}" for result in (*worse, *mended)]
    more = [f"and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else []
    return title, "\n".join(lines[:MAX_LINES] + more)


def _changed(before: str | None, now: Outcome) -> bool:
    if before is None:
        return now not in QUIET
    return before != now and not (before in QUIET and now in QUIET)


def tell(notifiers: Sequence[Notifier], title: str, body: str) -> list[DeliveryError]:
    """Send to every target; one that fails does not keep the others from hearing."""
    failures = []
    for notifier in notifiers:
        try:
            notifier.send(title, body)
        except DeliveryError as error:
            failures.append(error)
    return failures
