"""A chain of nothing but transfers, served at next to no cost: every block from one of a few templates.

    python -m benchmarks.evm_server BLOCKS

Prints its port and answers ``eth_getLogs``, ``eth_getBlockByNumber``, ``eth_blockNumber``, ``eth_chainId``
and what a connector asks of a token. Each block holds :data:`LOGS_PER_BLOCK` transfers to neighbours of the
addresses that :func:`recipients` gives; the head and a few blocks below it are not final.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import orjson

CHAIN_ID = 31_337
LOGS_PER_BLOCK, PER_TRANSACTION = 500, 5
RECIPIENTS = 10_000
TOKEN = f"0x{0x70CE_2000:040x}"
VALUE = 25_000_000
LOWEST = 0x10_0000
"""The first block's number: from here on every number is six digits wide."""

NOT_FINAL = 4
_START_S, _BLOCK_S = 1_767_225_600, 1
_FIRST = 0xB0_0000_0000
_TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
_NUMBER, _SECONDS = "NUMBER", "SECONDS_"


def address(number: int) -> str:
    """An address as a number says it."""
    return f"0x{number:040x}"


def recipients() -> list[str]:
    """Everybody who is paid, again and again."""
    return [address(_FIRST + number) for number in range(RECIPIENTS)]


def block_hash(number: str) -> str:
    """A block's hash, in which its number stands in hexadecimal."""
    return "0x" + "b10c".ljust(64 - len(number), "0") + number


def moment_s(number: int) -> int:
    """When a block was made, in seconds since 1970."""
    return _START_S + (number - LOWEST) * _BLOCK_S


class Blocks:
    """The logs of any block: templates in which its number and moment are put."""

    def __init__(self) -> None:
        self._templates = [self._template(place) for place in range(RECIPIENTS // LOGS_PER_BLOCK)]

    def logs(self, lower: int, upper: int) -> bytes:
        """The logs of some blocks, as a JSON array's inside."""
        return b",".join(self._of(number) for number in range(lower, upper + 1))

    def _of(self, number: int) -> bytes:
        template = self._templates[number % len(self._templates)]
        named = template.replace(_NUMBER.encode(), b"%06x" % number)
        return named.replace(_SECONDS.encode(), b"%08x" % moment_s(number))

    def _template(self, place: int) -> bytes:
        first = _FIRST + place * LOGS_PER_BLOCK
        return b",".join(orjson.dumps(self._log(index, first + index)) for index in range(LOGS_PER_BLOCK))

    def _log(self, index: int, recipient: int) -> dict[str, Any]:
        transaction = index // PER_TRANSACTION
        return {
            "address": TOKEN,
            "topics": [_TRANSFER, f"0x{0x5E4D:064x}", f"0x{recipient:064x}"],
            "data": f"0x{VALUE:064x}",
            "blockHash": block_hash(_NUMBER),
            "blockNumber": f"0x{_NUMBER}",
            "blockTimestamp": f"0x{_SECONDS}",
            "transactionHash": f"0x{transaction:058x}{_NUMBER}",
            "transactionIndex": hex(transaction),
            "logIndex": hex(index),
            "removed": False,
        }


class Node:
    """Answers calls.

    Args:
        blocks: how many blocks hold transfers, from :data:`LOWEST` on.
    """

    def __init__(self, blocks: int) -> None:
        self._head = LOWEST + blocks - 1
        self._blocks = Blocks()

    def answer(self, body: bytes) -> bytes:
        """The response to one request, whether a batch or not."""
        asked = orjson.loads(body)
        if isinstance(asked, list):
            return b"[" + b",".join(map(self._one, asked)) + b"]"
        return self._one(asked)

    def _one(self, call: dict[str, Any]) -> bytes:
        result = self._result(call["method"], call["params"])
        return b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (call["id"], result)

    def _result(self, method: str, params: list[Any]) -> bytes:
        if method == "eth_getLogs":
            return b"[" + self._logs(params[0]) + b"]"
        if method == "eth_getBlockByNumber":
            return self._header(params[0])
        words = {
            "eth_blockNumber": hex(self._head),
            "eth_chainId": hex(CHAIN_ID),
            "eth_getCode": "0x60" if params and params[0] == TOKEN else "0x",
            "eth_call": f"0x{6:064x}",  # decimals()
        }
        return orjson.dumps(words.get(method))

    def _logs(self, asked: dict[str, Any]) -> bytes:
        if "blockHash" in asked:
            number = int(asked["blockHash"][-6:], 16)
            return self._blocks.logs(number, number)
        lower, upper = int(asked["fromBlock"], 16), int(asked["toBlock"], 16)
        return self._blocks.logs(max(lower, LOWEST), min(upper, self._head))

    def _header(self, which: str) -> bytes:
        tags = {"latest": self._head, "safe": self._head - NOT_FINAL, "finalized": self._head - NOT_FINAL}
        number = tags[which] if which in tags else int(which, 16)
        if number > self._head:
            return b"null"
        return orjson.dumps(
            {
                "number": hex(number),
                "hash": block_hash(f"{number:06x}"),
                "parentHash": block_hash(f"{number - 1:06x}"),
                "timestamp": hex(moment_s(number)),
                "logsBloom": "0x" + "ff" * 256,
                "transactions": [],
            }
        )


class Connection(asyncio.Protocol):
    """HTTP/1.1 with kept connections, POST only."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            body = self._node.answer(rest[:length])
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            self._transport.write(head % len(body) + body)


async def serve(blocks: int) -> None:
    """Serve until ended."""
    node = Node(blocks)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(node), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("blocks", type=int)
    asyncio.run(serve(parser.parse_args().blocks))
