"""What holds for the chain on py-evm alone: determinism, signatures, time, threads, and its small parts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from eth_keys.backends.native import NativeECCBackend
from eth_keys.constants import SECPK1_N
from eth_keys.datatypes import PrivateKey
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from web3 import Web3

from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.evm import Order
from payhealth.sandbox.chain.hexes import from_data, from_quantity, quantity
from payhealth.sandbox.chain.signing import make_key
from payhealth.sandbox.chain.timing import block_times_s, to_epoch_s
from payhealth.sandbox.chain.token import load_artifact
from payhealth.sandbox.chain.wallet import Wallet
from payhealth.sandbox.interfaces import Chain

GENESIS_AT = datetime(2026, 1, 5, tzinfo=UTC)


def _lived(seed: int) -> DevChain:
    """A chain with transfers, empty blocks and a reorg behind it."""
    chain = DevChain(seed=seed, genesis_at=GENESIS_AT)
    at = GENESIS_AT + timedelta(hours=1)
    sender, recipient = chain.new_address(), chain.new_address()
    chain.faucet(sender, at=at, native=10**18, token=10**6)
    snapshot = chain.snapshot()
    chain.send_token(at=at, sender=sender, recipient=recipient, amount=5)
    chain.reorg(snapshot, at=at + timedelta(hours=1), blocks=3)
    chain.send_native(at=at + timedelta(hours=2), sender=sender, recipient=recipient, amount=7)
    return chain


def _hashes(chain: DevChain) -> list[str]:
    blocks = [chain.block_at(number) for number in range(chain.head() + 1)]
    return [block.hash for block in blocks if block is not None]


def test_the_same_seed_gives_the_same_chain() -> None:
    """Every block hash derives from the seed and the calls; another seed shares none after genesis."""
    first, again, other = _hashes(_lived(1)), _hashes(_lived(1)), _hashes(_lived(2))
    assert first == again
    assert set(first).isdisjoint(other)


def test_devchain_is_a_chain() -> None:
    """The class has what the Protocol asks for (mypy checks the signatures here)."""
    chain: Chain = DevChain(seed=1, genesis_at=GENESIS_AT, token_symbol="EURX", token_decimals=2)
    assert chain.token_decimals == 2


def test_transactions_carry_real_signatures() -> None:
    """Whoever recovers the sender from a transaction's signature finds the sender the chain names."""
    chain = _lived(3)
    block = chain.block_at(chain.head())
    assert block is not None
    shown = block.transactions[0]
    signed = {key: shown[key] for key in ("chainId", "nonce", "to", "value", "gas", "type", "v", "r", "s")}
    signed |= {"to": to_checksum_address(shown["to"]), "data": shown["input"]}
    signed |= {"maxFeePerGas": shown["maxFeePerGas"], "accessList": []}
    signed |= {"maxPriorityFeePerGas": shown["maxPriorityFeePerGas"]}
    raw = TypedTransaction.from_dict(signed).encode()
    assert Account.recover_transaction(HexBytes(raw)).lower() == shown["from"]


@pytest.mark.parametrize("secret", [1, 2, 15, 16, 2**255 + 12345, SECPK1_N - 1])
def test_the_fast_signer_signs_as_eth_keys_does(secret: int) -> None:
    """Public keys and signatures are those of eth-keys' own backend, to the bit, low s included."""
    raw = secret.to_bytes(32, "big")
    ours, theirs = make_key(raw), PrivateKey(raw, backend=NativeECCBackend())
    assert ours.public_key == theirs.public_key
    for message in (b"", b"a", b"b", b"c"):
        assert ours.sign_msg(message).vrs == theirs.sign_msg(message).vrs


def test_time_follows_at_and_never_stands_still() -> None:
    """Two transfers of one moment get two times, the first of them the moment itself."""
    chain = DevChain(seed=1, genesis_at=GENESIS_AT)
    at = GENESIS_AT + timedelta(minutes=1)
    chain.faucet(chain.new_address(), at=at, native=1, token=1)
    blocks = [chain.block_at(number) for number in (2, 3)]
    assert [block.timestamp_s for block in blocks if block] == [to_epoch_s(at), to_epoch_s(at) + 1]


@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=1))])
def test_moments_must_be_aware_and_utc(zone: timezone | None) -> None:
    """A naive moment, or one of another zone, is refused."""
    with pytest.raises(ValueError, match="aware and in UTC"):
        DevChain(seed=1, genesis_at=GENESIS_AT.replace(tzinfo=zone))


@pytest.mark.parametrize(
    ("after_s", "at_s", "blocks", "times_s"),
    [
        (100, 200, 1, [200]),
        (100, 200, 3, [176, 188, 200]),
        (100, 110, 3, [104, 107, 110]),
        (100, 102, 3, [101, 102, 103]),
        (100, 90, 2, [101, 102]),
        (100, 200, 0, []),
    ],
)
def test_block_times_rise_and_end_at_the_moment(
    after_s: int, at_s: int, blocks: int, times_s: list[int]
) -> None:
    """Times lie after ``after_s`` and end at ``at_s``, or follow by the second where there is no room."""
    assert block_times_s(after_s=after_s, at_s=at_s, blocks=blocks) == times_s


def test_readers_never_see_half_a_reorg() -> None:
    """While one thread reorganises, every head another thread reads has its whole chain of parents."""
    chain = DevChain(seed=1, genesis_at=GENESIS_AT)
    at = GENESIS_AT + timedelta(hours=1)
    chain.mine(at=at, blocks=5)
    done = threading.Event()
    broken: list[int] = []

    def read() -> None:
        while not done.is_set():
            with chain.lock:
                head = chain.head()
                blocks = [chain.block_at(number) for number in range(head + 1)]
            if any(block is None for block in blocks) or head < 6:
                broken.append(head)

    reader = threading.Thread(target=read)
    reader.start()
    for step in range(5):
        snapshot = chain.snapshot()
        chain.mine(at=at + timedelta(minutes=2 * step + 1), blocks=2)
        chain.reorg(snapshot, at=at + timedelta(minutes=2 * step + 2), blocks=3)
    done.set()
    reader.join()
    assert broken == []


def test_allowances_let_another_spend_and_no_more() -> None:
    """Approvals and transferFrom move what was allowed; more, and a mint by a stranger, revert."""
    chain = DevChain(seed=1, genesis_at=GENESIS_AT)
    at = GENESIS_AT + timedelta(hours=1)
    owner, spender = chain.new_address(), chain.new_address()
    chain.faucet(owner, at=at, native=10**18, token=100)
    chain.faucet(spender, at=at, native=10**18)
    calls = _encoder()

    def status(sender: str, name: str, *arguments: object) -> str:
        data = calls(name, *arguments)
        block = chain.transact(at=at, sender=sender, to=chain.token_address, data=data, gas=120_000)
        return str(block.receipts[0]["status"])

    assert status(owner, "approve", spender, 30) == "0x1"
    assert status(spender, "transferFrom", owner, spender, 31) == "0x0"
    assert status(spender, "transferFrom", owner, spender, 30) == "0x1"
    assert status(spender, "transferFrom", owner, spender, 1) == "0x0"
    assert status(spender, "mint", spender, 1) == "0x0"
    assert (chain.token_balance(owner), chain.token_balance(spender)) == (70, 30)


def _encoder() -> Callable[..., bytes]:
    contract = Web3().eth.contract(abi=load_artifact().abi)
    return lambda name, *arguments: bytes.fromhex(contract.encode_abi(name, arguments)[2:])


def test_addresses_are_the_wallets_own_and_distinct() -> None:
    """A wallet gives each address once, holds its key, and gives the same ones for the same seed."""
    one, two = Wallet(seed=5), Wallet(seed=5)
    addresses = [one.new_address() for _ in range(20)]
    assert addresses == [two.new_address() for _ in range(20)]
    assert len({*addresses, one.faucet}) == 21
    assert all(Account.from_key(one.key(each).to_bytes()).address == each for each in addresses[:3])
    assert Order(key=one.key(addresses[0]), to=None, gas=1).value == 0


@pytest.mark.parametrize("text", ["", "1", "0x", "0x01", "0xg", "0x1_0", None, 5])
def test_only_proper_quantities_are_read(text: object) -> None:
    """No prefix, no digits, leading zeros, foreign characters and other types are refused."""
    with pytest.raises(ValueError, match=r"hex|number"):
        from_quantity(text)


@pytest.mark.parametrize("number", [0, 1, 15, 16, 2**256 - 1])
def test_quantities_survive_a_round_trip(number: int) -> None:
    """What is written as a quantity is read as the same number, and has no leading zero."""
    assert from_quantity(quantity(number)) == number
    assert quantity(number)[2:] == f"{number:x}"


def test_data_is_whole_bytes_of_the_length_asked_for() -> None:
    """Half a byte and another length than asked for are refused."""
    assert from_data("0xAB01") == b"\xab\x01"
    for text, length in (("0xabc", None), ("0xab", 2), ("0xa b0", None)):
        with pytest.raises(ValueError, match="hex string"):
            from_data(text, length=length)
