"""Fixtures that several kinds of tests need, among them a throwaway PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("payhealth.testing.contract")

_START_TIMEOUT_S = 30


def _binaries() -> Path | None:
    """The newest PostgreSQL server's folder of programs, None where there is no server."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True
    )
    if shutil.which("pg_config"):
        asked = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(asked.stdout.strip()))
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def _identity(folder: Path) -> dict[str, Any]:
    """As whom to run: PostgreSQL refuses root, so root hands the folder to somebody else."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            person = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, person.pw_uid, person.pw_gid)
        return {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class _Server:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def wait(self) -> None:
        """Until it answers; skips with the end of its log where it does not."""
        import psycopg

        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                psycopg.connect(self.url("postgres", "postgresql"), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        pytest.skip(f"PostgreSQL did not start: {' '.join(lines[-1:])}")

    def url(self, database: str, scheme: str = "postgresql+psycopg") -> str:
        return f"{scheme}://payhealth@127.0.0.1:{self.port}/{database}"


def _start(binaries: Path, folder: Path) -> _Server:
    # Not the home of the person who runs the tests: the server's user must be able to reach the folder.
    folder.chmod(0o755)
    identity = _identity(folder)
    data, log = folder / "data", folder / "log"
    options = {"cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **identity}
    made = subprocess.run(
        [
            binaries / "initdb",
            "-D",
            data,
            "-U",
            "payhealth",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ],
        check=False,
        **options,
    )
    if made.returncode:
        pytest.skip(f"initdb failed: {made.stderr.decode(errors='replace').strip()[-200:]}")
    port = _free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": port, "fsync": "off", "max_connections": 50}
    command = [str(binaries / "postgres"), "-D", str(data), "-k", str(folder)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, **{**options, "stdout": output, "stderr": subprocess.STDOUT})
    return _Server(process, port, log)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[_Server]:
    """A PostgreSQL of our own on loopback for this test process, stopped and removed at its end."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="payhealth-pg-"))
    server = None
    try:
        server = _start(binaries, folder)
        server.wait()
        yield server
    finally:
        if server is not None:
            server.process.terminate()
            try:
                server.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait(timeout=10)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgres(postgres_server: _Server) -> Callable[[], str]:
    """Makes an empty database and gives its URL."""

    def create() -> str:
        import psycopg

        name = f"t{uuid.uuid4().hex}"
        address = postgres_server.url("postgres", "postgresql")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return postgres_server.url(name)

    return create


@pytest.fixture
def postgres_url(new_postgres: Callable[[], str]) -> str:
    """An empty PostgreSQL database of this test alone; skipped with the reason where no server can run."""
    return new_postgres()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLite database of this test alone, not there yet."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """An upgraded store on either database."""
    from payhealth.store import upgrade

    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    upgrade(url)
    return url
