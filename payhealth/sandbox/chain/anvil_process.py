"""Runs foundry's ``anvil`` in a scratch folder on a free port, and talks JSON-RPC to it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson

_POLL_S = 0.02

STATES_KEPT = 256
"""States that anvil keeps in memory; older balances cannot be asked for, as with most nodes."""


class AnvilError(RuntimeError):
    """anvil is not there, did not start, or answered with an error."""


def find_anvil() -> Path | None:
    """The ``anvil`` to run: $ANVIL, on the PATH, or npm's below the current directory."""
    named = os.environ.get("ANVIL")
    if named:
        return Path(named) if os.access(named, os.X_OK) else None
    on_path = shutil.which("anvil")
    if on_path:
        return Path(on_path)
    installed = sorted(Path("node_modules/@foundry-rs").glob("anvil-*/bin/anvil"))
    return next((path.resolve() for path in installed if os.access(path, os.X_OK)), None)


class AnvilProcess:
    """One running anvil that mines only when told to.

    Args:
        binary: the anvil to run, by default what ``find_anvil`` finds.
        chain_id: as transactions are signed for.
        genesis_at_s: time of block 0, seconds since 1970.
        safe_depth: how many blocks ``safe`` lies behind the head; ``finalized`` lies twice as many.
        gas_limit: gas of every block, None for anvil's own.
        states_kept: of how many of the newest blocks the state is kept.
        start_timeout_s: how long to wait until it answers.

    Raises:
        AnvilError: it is not installed or did not start.
    """

    def __init__(
        self,
        *,
        binary: Path | None,
        chain_id: int,
        genesis_at_s: int,
        safe_depth: int,
        gas_limit: int | None = None,
        states_kept: int = STATES_KEPT,
        start_timeout_s: float,
    ) -> None:
        found = binary or find_anvil()
        if found is None:
            raise AnvilError("anvil is not installed ($ANVIL, the PATH and node_modules were searched)")
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._home = tempfile.TemporaryDirectory(prefix="anvil-", ignore_cleanup_errors=True)
        self._http = httpx.Client(timeout=30, trust_env=False)
        flags = {
            "--port": port,
            "--chain-id": chain_id,
            "--timestamp": genesis_at_s,
            "--slots-in-an-epoch": safe_depth,
            "--hardfork": "cancun",
            "--prune-history": states_kept,
            "--accounts": 1,
            # Transactions of one block keep the order they were sent in.
            "--order": "fifo",
        }
        if gas_limit is not None:
            flags["--gas-limit"] = gas_limit
        options = [str(part) for flag in flags.items() for part in flag]
        self._process = subprocess.Popen(  # noqa: S603 - the user's own anvil, without a shell
            [str(found), "--no-mining", "--quiet", *options],
            env={"HOME": self._home.name, "PATH": os.environ.get("PATH", "")},
            cwd=self._home.name,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait_until_ready(start_timeout_s)
        except BaseException:
            self.close()
            raise

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of one request.

        Raises:
            AnvilError: anvil answered with an error, whose message it carries.
        """
        answer = self._post({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        return _result(method, answer)

    def batch(self, method: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """The results of one method asked many times in one HTTP request; anvil may mix their order.

        Raises:
            AnvilError: anvil answered one of them with an error, whose message it carries.
        """
        if not calls:
            return []
        answers = self._post(
            [
                {"jsonrpc": "2.0", "id": index, "method": method, "params": list(params)}
                for index, params in enumerate(calls)
            ]
        )
        by_id = {answer["id"]: answer for answer in answers}
        return [_result(method, by_id[index]) for index in range(len(calls))]

    def close(self) -> None:
        """Stop anvil and remove what it wrote; closing twice does nothing."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._http.close()
        self._home.cleanup()

    def _post(self, body: object) -> Any:
        response = self._http.post(
            self.url, content=orjson.dumps(body), headers={"content-type": "application/json"}
        )
        return orjson.loads(response.content)

    def _wait_until_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AnvilError(f"anvil ended with exit code {self._process.returncode}")
            try:
                self.rpc("eth_chainId")
            except httpx.TransportError:
                time.sleep(_POLL_S)
            else:
                return
        raise AnvilError(f"anvil did not answer within {timeout_s} s")


def _result(method: str, answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise AnvilError(f"{method}: {answer['error'].get('message')}")
    return answer["result"]


def _free_port() -> int:
    # anvil cannot report a port of the system's choice, so one is found and let go just before.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
