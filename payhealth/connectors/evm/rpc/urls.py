"""What of an RPC URL may be shown, and what must be taken out of what a node says. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from payhealth.secrets import MASK, Secret

_SHORTEST_SECRET = 5
"""Words of a URL this long or longer are taken for secrets; ``v2`` and ``rpc`` are not."""


def host_of(url: Secret) -> str:
    """The part of a URL that may be shown."""
    return urlsplit(url.reveal()).hostname or "the RPC endpoint"


def names_of(urls: Sequence[Secret]) -> list[str]:
    """A name a URL: its host, and a number from the second one of the same host on."""
    seen: Counter[str] = Counter()
    names = []
    for url in urls:
        host = host_of(url)
        seen[host] += 1
        names.append(host if seen[host] == 1 else f"{host}#{seen[host]}")
    return names


class Scrubber:
    """Takes the words of a URL that may be secret out of texts."""

    def __init__(self, url: Secret) -> None:
        self._secrets = _secret_words(url.reveal())

    def __call__(self, text: str) -> str:
        """The text, masked."""
        for word in self._secrets:
            text = re.sub(re.escape(word), MASK, text, flags=re.IGNORECASE)
        return text


def _secret_words(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    rest = [parts.path, parts.query, parts.fragment, parts.username or "", parts.password or ""]
    words = {piece for text in rest for piece in re.split(r"[/&=?#:@]", f"{text}/{unquote(text)}")}
    return tuple(sorted((word for word in words if len(word) >= _SHORTEST_SECRET), key=len, reverse=True))
