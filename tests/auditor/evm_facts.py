"""The words of the chain's auditor: the business as it is described, and what the auditor says of a chain.

Addresses, hashes and asset ids are lower-case everywhere here: compare without case.

Sources: the page of facts on EVM chains; the events' signatures are hashed here. The operator fee:
https://docs.optimism.io/chain-operators/guides/features/setting-operator-fee. The escrow's events, and the
share that its fee takes: https://github.com/base/commerce-payments (AuthCaptureEscrow).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, localcontext

from eth_utils.crypto import keccak

ZERO = "0x" + "00" * 20
NATIVE_LOGGER = "0x" + "ff" * 19 + "fe"
"""Where the logs of native moves come from under EIP-7708."""

DEPOSITED = 0x7E
BLOB = 0x03


class AuditError(Exception):
    """The auditor cannot say what is true; it never guesses."""


class ChainMovedError(AuditError):
    """A reorganisation happened while the chain was read: read it again."""


class NodeError(AuditError):
    """The node answered with an error, whose words this carries."""


def topic(signature: str) -> str:
    """The first topic of an event of this signature."""
    return "0x" + keccak(text=signature).hex()


_INFO = "(address,address,address,address,uint120,uint48,uint48,uint48,uint16,uint16,address,uint256)"

TRANSFER = topic("Transfer(address,address,uint256)")
LOG_TRANSFER = topic("LogTransfer(address,address,address,uint256,uint256,uint256,uint256,uint256)")
COINBASE = topic("Transferred(address,bytes16,address,address,uint256,address)")
AUTHORIZATION_USED = topic("AuthorizationUsed(address,bytes32)")
ESCROW: Mapping[str, str] = {
    topic(f"PaymentAuthorized(bytes32,{_INFO},uint256,address)"): "PaymentAuthorized",
    topic(f"PaymentCharged(bytes32,{_INFO},uint256,address,uint16,address)"): "PaymentCharged",
    topic("PaymentCaptured(bytes32,uint256,uint16,address)"): "PaymentCaptured",
    topic("PaymentVoided(bytes32,uint256)"): "PaymentVoided",
    topic("PaymentReclaimed(bytes32,uint256)"): "PaymentReclaimed",
    topic("PaymentRefunded(bytes32,uint256,address)"): "PaymentRefunded",
}


def exact(units: int, decimals: int) -> Decimal:
    """Smallest units as an exact decimal, however many digits that takes."""
    with localcontext(prec=100):
        return Decimal(units).scaleb(-decimals)


def lowered(texts: Iterable[str]) -> frozenset[str]:
    """Texts without case."""
    return frozenset(text.lower() for text in texts)


@dataclass(frozen=True, kw_only=True)
class Business:
    """Whose money is looked for, and what counts as money.

    Attributes:
        chain_id: the chain's number; the node must answer the same.
        addresses: ours.
        operators: gas funders and the like: what they send is funding.
        tokens: symbol and decimals by the address of each registered token.
        native: symbol and CAIP-19 id of the native coin, None where it is not tracked.
        coinbase_contracts: Coinbase's Transfers contracts.
        coinbase_operators: the operators that are known there.
        escrows: commerce-payments escrow contracts.
        eip3009_tokens: tokens whose AuthorizationUsed is looked for.
        dust: by CAIP-19 id, the amount (in the asset) below which a deposit is dust.
        log_transfer_contract: the contract that logs each native move (Polygon's), or None.
        ignored_types: transaction types whose value never counts.
        traces: whether internal native transfers are read from traces.
        jovian: whether the operator fee is Jovian's; None: as each receipt's fields say.
    """

    chain_id: int
    addresses: frozenset[str]
    operators: frozenset[str] = frozenset()
    tokens: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    native: tuple[str, str] | None = None
    coinbase_contracts: frozenset[str] = frozenset()
    coinbase_operators: frozenset[str] = frozenset()
    escrows: frozenset[str] = frozenset()
    eip3009_tokens: frozenset[str] = frozenset()
    dust: Mapping[str, Decimal] = field(default_factory=dict)
    log_transfer_contract: str | None = None
    ignored_types: frozenset[int] = frozenset()
    traces: bool = False
    jovian: bool | None = None

    def __post_init__(self) -> None:
        addresses = ("addresses", "operators", "coinbase_contracts", "coinbase_operators", "escrows")
        for name in (*addresses, "eip3009_tokens"):
            object.__setattr__(self, name, lowered(getattr(self, name)))
        for name in ("tokens", "dust"):
            object.__setattr__(self, name, {key.lower(): value for key, value in getattr(self, name).items()})
        if self.log_transfer_contract is not None:
            object.__setattr__(self, "log_transfer_contract", self.log_transfer_contract.lower())
        if self.native is not None:
            object.__setattr__(self, "native", (self.native[0], self.native[1].lower()))

    @property
    def caip2(self) -> str:
        """The chain's CAIP-2 id."""
        return f"eip155:{self.chain_id}"

    def asset(self, token: str) -> str:
        """The CAIP-19 id of a token."""
        return f"{self.caip2}/erc20:{token}"

    def assets(self) -> dict[str, str | None]:
        """Every tracked asset's id, with its token's address (None: the native coin)."""
        found: dict[str, str | None] = {self.asset(token): token for token in self.tokens}
        if self.native is not None:
            found[self.native[1]] = None
        return found

    def touches(self, *parties: str) -> bool:
        """Whether one of these is ours."""
        return any(party in self.addresses for party in parties)

    def kind(self, sender: str, recipient: str) -> str:
        """What a move of value is to us, who are on one side of it at least."""
        if sender in self.addresses:
            return "internal" if recipient in self.addresses else "outgoing"
        return "funding" if sender in self.operators else "transfer"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where on the chain something is; ``transaction_hash`` is None for a beacon withdrawal."""

    block_number: int
    block_hash: str
    at: datetime
    transaction_hash: str | None
    transaction_index: int


@dataclass(frozen=True, kw_only=True)
class Movement:
    """One move of value with one of ours on a side of it.

    Attributes:
        id: ``<caip-2>:<transaction hash>:<position>``, or ``<caip-2>:withdrawal:<index>``.
        kind: transfer, internal, outgoing or funding.
        asset: CAIP-19.
        amount: in the asset, exact.
        units: in the smallest unit.
        order: what sorts movements of one transaction: minted, native, traces, logs.
    """

    id: str
    kind: str
    asset: str
    symbol: str
    place: Place
    position: str
    sender: str
    recipient: str
    amount: Decimal
    units: int
    order: tuple[int, ...]

    @property
    def sort_key(self) -> tuple[int, int, tuple[int, ...]]:
        """Order on the chain."""
        return (self.place.block_number, self.place.transaction_index, self.order)


@dataclass(frozen=True, kw_only=True)
class Ignored:
    """What looks like money of ours and does not count.

    Attributes:
        reason: unregistered_token, zero_value, dust, forged, valueless, native_log, malformed.
        why: one sentence.
        contract: who logged it; ``native`` for the coin itself.
        movement: the movement that it would have been, for dust.
    """

    id: str
    reason: str
    why: str
    place: Place
    contract: str
    sender: str
    recipient: str
    units: int
    movement: Movement | None = None


@dataclass(frozen=True, kw_only=True)
class PaymentEvent:
    """An event that says what a movement is for.

    Attributes:
        name: Transferred, AuthorizationUsed, or the escrow's.
        key: the Coinbase id, the nonce, or the hash of the payment's info.
        party: the operator (Coinbase), the authorizer, the operator of the escrow payment where known.
        movement_id: the Transfer that it belongs to, None where none of ours does.
        candidates: every Transfer that would do; more than one where the text does not tell them apart.
    """

    id: str
    name: str
    contract: str
    key: str
    party: str | None
    place: Place
    log_index: int
    amount_units: int | None
    movement_id: str | None
    candidates: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Fee:
    """What a transaction of one of ours cost beside its value."""

    place: Place
    sender: str
    wei: int
    failed: bool


@dataclass(frozen=True, kw_only=True)
class Audit:
    """All that is true of a canonical chain, from ``first`` to ``last``, both included.

    Attributes:
        blocks: (number, hash) of each block read.
        parent: (number, hash) of the block before the first; the genesis itself where that is the first.
        movements: all that count, in order.
        moved: all that moved value of a tracked asset, the dust too: what the identity adds up.
        safe: number of the newest safe block when the chain was read, None where the node has no such tag.
        finalized: likewise.
    """

    business: Business
    blocks: tuple[tuple[int, str], ...]
    parent: tuple[int, str]
    movements: tuple[Movement, ...]
    moved: tuple[Movement, ...]
    ignored: tuple[Ignored, ...]
    events: tuple[PaymentEvent, ...]
    fees: tuple[Fee, ...]
    safe: int | None
    finalized: int | None

    @property
    def first(self) -> int:
        """Number of the first block read."""
        return self.blocks[0][0]

    @property
    def last(self) -> int:
        """Number of the last block read."""
        return self.blocks[-1][0]

    @property
    def by_id(self) -> dict[str, Movement]:
        """Movements by their ids, which never repeat.

        Raises:
            AuditError: one repeats.
        """
        found = {movement.id: movement for movement in self.movements}
        if len(found) != len(self.movements):
            raise AuditError("two movements share an id")
        return found
