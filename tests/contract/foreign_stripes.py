"""Stripe fakes of other people as programs of their own: confined to loopback and to one temporary folder.

Neither lets itself be told where to listen: localstripe binds every interface and writes its store to one
fixed path, stripe-stateful-mock binds every interface. Both are started as they are, with a few lines of
ours loaded before theirs that move the socket to a free loopback port, the file into the folder, and tell
the port. Nothing of theirs is imported or copied here.

Source: https://pypi.org/project/localstripe, https://www.npmjs.com/package/stripe-stateful-mock
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

KEY = "sk_test_foreign_fakes"

_ANSWER_S_MAX = 20
_LISTENING = "listening on port "

_CONFINED_PYTHON = """
import builtins, os, socket

bind, listen, opened = socket.socket.bind, socket.socket.listen, builtins.open

def bind_to_loopback(self, address):
    host = "127.0.0.1" if self.family == socket.AF_INET else "::ffff:127.0.0.1"
    bind(self, (host, 0))

def listen_and_tell(self, *backlog):
    listen(self, *backlog)
    print("listening on port %d" % self.getsockname()[1], flush=True)

def open_in_folder(file, *arguments, **options):
    if str(file).endswith(".pickle"):
        file = os.path.join(os.environ["HOME"], os.path.basename(file))
    return opened(file, *arguments, **options)

socket.socket.bind, socket.socket.listen, builtins.open = bind_to_loopback, listen_and_tell, open_in_folder
"""

_CONFINED_NODE = """
const net = require("net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function () {
  return listen.call(this, { host: "127.0.0.1", port: 0 }, () => {
    console.log("listening on port " + this.address().port);
  });
};
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fake:
    """A running fake.

    Args:
        name: what it is called.
        url: its server.
        client: asks it with a key that it takes.
        folder: the one folder that it may write to, which is also its home.
    """

    name: str
    url: str
    client: httpx.Client
    folder: Path

    def post(self, path: str, status: int = 200, **form: Any) -> dict[str, Any]:
        """Ask for something to be made; what was made, or the refusal, as the fake tells it.

        Args:
            status: the HTTP status that the fake is to answer with.
            form: nested parameters with ``__``: ``card__number`` is sent as ``card[number]``.
        """
        names = {name: name.replace("__", "[", 1) + ("]" if "__" in name else "") for name in form}
        data = {names[name]: str(value) for name, value in form.items()}
        answer = self.client.post(f"/v1/{path}", data=data)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[:200]}"
        made: dict[str, Any] = answer.json()
        return made

    def listed(self, path: str) -> list[dict[str, Any]]:
        """A whole list, as the fake tells it; neither bounds the length of a page."""
        answer = self.client.get(f"/v1/{path}", params={"limit": "100000"})
        answer.raise_for_status()
        assert answer.json()["has_more"] is False
        return list(answer.json()["data"])


def executable(variable: str, name: str) -> str:
    """The program named by a variable or found on the PATH; skips where there is neither."""
    found = shutil.which(os.environ.get(variable) or name)
    if found is None:
        pytest.skip(f"{name} is not installed (the PATH and ${variable} were searched)")
    return found


@contextmanager
def localstripe(folder: Path) -> Iterator[Fake]:
    """The fake of the PyPI package localstripe, with an empty store."""
    program = executable("PAYHEALTH_LOCALSTRIPE", "localstripe")
    (folder / "sitecustomize.py").write_text(_CONFINED_PYTHON, encoding="utf-8")
    environment = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with _running("localstripe", [program, "--from-scratch"], environment, folder) as fake:
        yield fake


@contextmanager
def stripe_stateful_mock(folder: Path) -> Iterator[Fake]:
    """The fake of the npm package stripe-stateful-mock; it forgets everything at its end."""
    program = executable("PAYHEALTH_STRIPE_STATEFUL_MOCK", "stripe-stateful-mock")
    (folder / "confined.cjs").write_text(_CONFINED_NODE, encoding="utf-8")
    environment = {"NODE_OPTIONS": f'--require "{folder / "confined.cjs"}"', "LOG_LEVEL": "silent"}
    with _running("stripe-stateful-mock", [program], environment, folder) as fake:
        yield fake


@contextmanager
def _running(name: str, command: list[str], environment: dict[str, str], folder: Path) -> Iterator[Fake]:
    """A program until the end of the block; it sees none of our environment but the PATH."""
    known = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "TMPDIR": str(folder)}
    log = folder / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            env={**known, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        port = _port(process, process.stdout)
        assert port, f"{name} did not start: {log.read_text(encoding='utf-8', errors='replace')[-500:]}"
        url, key = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=url, headers=key, timeout=_ANSWER_S_MAX) as client:
            yield Fake(name=name, url=url, client=client, folder=folder)
    finally:
        process.kill()
        process.communicate()


def _port(process: subprocess.Popen[str], output: IO[str]) -> str:
    """The port that the program says it listens on, empty where it ends or takes too long."""
    late = threading.Timer(_ANSWER_S_MAX, process.kill)
    late.start()
    try:
        said = next((line for line in output if line.startswith(_LISTENING)), "")
        return said.removeprefix(_LISTENING).strip()
    finally:
        late.cancel()
