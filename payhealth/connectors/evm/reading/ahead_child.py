"""The child that fetches a long backfill: started by :mod:`ahead_process`, spoken to over pipes."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from typing import IO, Any

import orjson

from payhealth.connectors import frames
from payhealth.connectors.evm.reading.ahead_process import READY
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.watched import Watched
from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.faults import RpcFault
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.rpc.ranges import RangePlanners
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.domain.errors import PayhealthError


def serve(asked: dict[str, Any], pipe: IO[bytes]) -> None:
    """Fetch what is asked for and hand it over stretch by stretch."""
    settings = EvmSettings.model_validate(asked["settings"])
    client = RpcClient(settings)
    planners = RangePlanners(settings.max_block_range)
    planners.restore(asked["planner"])
    watched = Watched(
        node=Node(client, settings, full=False),
        settings=settings,
        stored=Stored(None, asked["connector"]),
        planners=planners,
        derived=asked["derived"],
    )
    lower, last, counted = asked["lower"], asked["last"], 0
    try:
        while lower <= last:
            found = watched.scanner.fetch(lower, last)
            requests, counted = client.requests - counted, client.requests
            doubts = ", ".join(client.liars())
            frames.send(pipe, replace(found, requests=requests, doubts=doubts))
            lower = found.upper + 1
    except (PayhealthError, RpcFault) as error:
        # The parent meets it too when it reads on by itself, and deals with it there.
        frames.send(pipe, str(error))
    finally:
        client.close()


if __name__ == "__main__":
    gc.freeze()
    # A parent that is gone closes the pipes: then there is nothing to do and nobody to tell.
    try:
        frames.send(sys.stdout.buffer, READY)
        line = sys.stdin.buffer.readline()
        if line:
            serve(orjson.loads(line), sys.stdout.buffer)
    except (OSError, KeyboardInterrupt):
        sys.exit(1)
