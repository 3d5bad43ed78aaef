"""Prices at a payment's block: what a feed's words mean, which rounds hold up, what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.connectors.evm.proofs import prices_feed
from payhealth.connectors.evm.proofs.prices import FeedRef, Peg, PriceReader
from payhealth.connectors.evm.proofs.prices_feed import NoRound, Round, description_of, round_of
from payhealth.connectors.evm.proofs.prices_rules import judge
from payhealth.connectors.evm.registry.chains import known_chains
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault, classify
from payhealth.connectors.evm.wire.values import Header, header_of
from payhealth.domain.chain_records import AssetPrice
from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.errors import RpcError
from payhealth.sandbox.chain.methods import Limits, Methods

ETH, USDC = "eip155:1/slip44:60", "eip155:1/erc20:0xa0b8"
START = datetime(2026, 3, 1, tzinfo=UTC)
START_S = int(START.timestamp())
FEED = FeedRef(address="0xfeed", quote="USD", heartbeat_s=3600, description="ETH / USD")
COIN = FeedRef(address="0xc01n", quote="USD", heartbeat_s=86_400, description="USDC / USD")
PEG = Peg(quote="USD", band=Decimal("0.005"))
PHASE = 6 << 64
REVERTED = RpcFault(FaultKind.EXECUTION, "execution reverted")
PRUNED = RpcFault(FaultKind.PRUNED, "missing trie node")

GOLDEN = (
    "0x0000000000000000000000000000000000000000000000060000000000005d3b"
    "00000000000000000000000000000000000000000000000000000043cfda5080"
    "0000000000000000000000000000000000000000000000000000000069a38000"
    "0000000000000000000000000000000000000000000000000000000069a3800c"
    "0000000000000000000000000000000000000000000000060000000000005d3b"
)
"""``latestRoundData()`` of an ETH/USD proxy in its phase 6: 2912.5 USD, eight decimals."""


def block(at_s: int = 0, number: int = 1) -> Header:
    """A block so many seconds after the start."""
    return Header(number=number, hash=f"0x{number:064x}", parent="0x00", at=START + timedelta(seconds=at_s))


def round_at(at_s: int, answer: int = 150_025_000_000, number: int = 9, **values: int) -> Round:
    """A round of phase 6 so many seconds after the start; 1500.25 USD."""
    usual = {
        "id": PHASE + number,
        "answer": answer,
        "updated_s": START_S + at_s,
        "answered_in": PHASE + number,
    }
    return Round(**{**usual, **values})


def words(found: Round) -> str:
    """A round as the feed answers it."""
    row = (found.id, found.answer, found.updated_s, found.updated_s, found.answered_in)
    return "0x" + encode(["uint80", "int256", "uint256", "uint256", "uint80"], row).hex()


class Feeds:
    """A node with feeds: their rounds by (address, block hash), and in its newest state.

    Args:
        at: (feed, block hash) -> a round, or what is answered in its place.
        rounds: of the newest state, by feed, oldest first.
        said: feed -> what its decimals() and description() answer.
    """

    def __init__(
        self,
        at: Mapping[tuple[str, str], Any] | None = None,
        *,
        rounds: Mapping[str, Sequence[Round]] | None = None,
        said: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> None:
        self.at = dict(at or {})
        self.rounds = dict(rounds or {})
        self.said = {FEED.address: facts("ETH / USD"), COIN.address: facts("USDC / USD"), **(said or {})}
        self.batches: list[int] = []

    def __call__(self, calls: Sequence[Call]) -> list[Any]:
        """One batch."""
        self.batches.append(len(calls))
        answers = [self._answer(*call.params) for call in calls]
        return [words(answer) if isinstance(answer, Round) else answer for answer in answers]

    def _answer(self, transaction: Mapping[str, str], where: Any) -> Any:
        address, data = transaction["to"], transaction["data"]
        if data in (prices_feed.DECIMALS, prices_feed.DESCRIPTION):
            return self.said[address][data == prices_feed.DESCRIPTION]
        if data == prices_feed.LATEST_ROUND:
            return self.rounds[address][-1] if where == "latest" else self.at[address, where["blockHash"]]
        wanted = int(data.removeprefix(prices_feed.ROUND), 16)
        return next((each for each in self.rounds[address] if each.id == wanted), REVERTED)


def facts(description: str, decimals: int = 8) -> tuple[str, str]:
    """What a feed says of itself."""
    return "0x" + encode(["uint8"], [decimals]).hex(), "0x" + encode(["string"], [description]).hex()


def reader(node: Any, /, **options: Any) -> PriceReader:
    """A reader of ether's feed, and of a stablecoin's."""
    usual: dict[str, Any] = {"connector": "eth", "chain_id": 1, "feeds": {ETH: FEED, USDC: COIN}}
    return PriceReader(**{**usual, "pegs": {USDC: PEG}, **options}, ask=node)


def one(answer: Any, *, asset: str = ETH, at_s: int = 60, **options: Any) -> AssetPrice:
    """The record of one deposit, where the feed answers so at its block."""
    feed = FEED if asset == ETH else COIN
    wanted = block(at_s)
    (record,) = reader(Feeds({(feed.address, wanted.hash): answer}, **options)).prices([(asset, wanted)])
    return record


def test_selectors_are_those_of_the_interface() -> None:
    """The first four bytes of the signatures' hashes."""
    named = {
        prices_feed.LATEST_ROUND: "latestRoundData()",
        prices_feed.ROUND: "getRoundData(uint80)",
        prices_feed.DECIMALS: "decimals()",
        prices_feed.DESCRIPTION: "description()",
    }
    for selector, signature in named.items():
        assert selector == "0x" + keccak(text=signature)[:4].hex()


def test_a_golden_answer_is_read_word_for_word() -> None:
    """Round, answer, time of the update (not of the start) and the round of the answer."""
    found = round_of(GOLDEN)
    assert found == Round(
        id=110680464442257333563,
        answer=291_250_000_000,
        updated_s=0x69A3800C,
        answered_in=110680464442257333563,
    )
    assert (found.phase, found.number) == (6, 0x5D3B)
    assert judge(found, 0x69A3800C + 3600, FEED, 8, None) == (Decimal("2912.5"), None)


@given(st.integers(0, 2**80 - 1), st.integers(-(2**255), 2**255 - 1), st.integers(0, 2**256 - 1))
def test_every_round_is_read_as_it_was_written(round_id: int, answer: int, at_s: int) -> None:
    """Negative answers among them."""
    found = Round(id=round_id, answer=answer, updated_s=at_s, answered_in=round_id)
    assert round_of(words(found)) == found


@given(st.text(max_size=60))
def test_every_description_is_read_as_it_was_written(text: str) -> None:
    """Of any length up to a bound."""
    assert description_of("0x" + encode(["string"], [text]).hex()) == text


@given(st.one_of(st.binary(max_size=200).map(lambda data: "0x" + data.hex()), st.text(max_size=5), st.none()))
def test_no_answer_breaks_the_reader(answer: Any) -> None:
    """Whatever bytes a contract answers with, they are a round or a reason, a text or none."""
    assert isinstance(round_of(answer), Round | NoRound)
    assert description_of(answer) is None or isinstance(description_of(answer), str)


def test_a_deposit_is_priced_at_its_block() -> None:
    """Exact, with the feed, its round and the round's time beside."""
    record = one(round_at(0))
    assert record == AssetPrice(
        connector="eth",
        asset=ETH,
        quote="USD",
        block_hash=block().hash,
        block_number=1,
        block_at=START + timedelta(seconds=60),
        price=Decimal("1500.25"),
        reason=None,
        feed=FEED.address,
        round_id=str(PHASE + 9),
        round_at=START,
    )


@given(st.integers(1, 10**20), st.integers(0, 18))
def test_a_price_is_the_answer_to_the_last_digit(answer: int, decimals: int) -> None:
    """Nothing is rounded: the price times ten to the decimals is the answer again."""
    price, reason = judge(round_at(0, answer=answer), START_S, FEED, decimals, None)
    if reason is None:
        assert price is not None
        assert int(price.scaleb(decimals)) == answer
    else:
        assert reason.startswith("not exact: ")
        assert answer >= 10 ** (20 + decimals)


def test_more_digits_than_an_amount_has_are_no_price() -> None:
    """A feed of 20 decimals prices what ends in zeros, and refuses the rest."""
    assert judge(round_at(0, answer=15 * 10**19), START_S, FEED, 20, None) == (Decimal("1.5"), None)
    price, reason = judge(round_at(0, answer=15 * 10**19 + 1), START_S, FEED, 20, None)
    assert price is None
    assert reason is not None
    assert reason.startswith("not exact: ")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (round_at(0, answer=0), "no positive answer: the feed says 0"),
        (round_at(0, answer=-5), "no positive answer: the feed says -5"),
        (round_at(0, updated_s=0), "incomplete round: it was never finished"),
        (round_at(0, id=0, answered_in=0), "incomplete round: it was never finished"),
        (round_at(0, answered_in=PHASE + 8), f"incomplete round: round {PHASE + 9} repeats the answer of"),
        (round_at(61), "later than the block: the round is 1 s younger"),
        (round_at(-3541), "stale: 3601 s old, heartbeat 3600 s"),
        (REVERTED, "refused: the feed failed (execution reverted)"),
        ("0x", "no contract: there was none at the feed's address"),
        ("0x" + "00" * 32, "no feed: the contract does not answer with a round"),
    ],
)
def test_a_round_that_does_not_hold_up_is_no_price(found: Any, reason: str) -> None:
    """The record says so, and is final."""
    record = one(found)
    assert record.price is None
    assert (record.reason or "").startswith(reason)


@pytest.mark.parametrize("age_s", [0, 3599, 3600])
def test_a_round_lives_as_long_as_its_heartbeat(age_s: int) -> None:
    """To the second, the last one included."""
    assert one(round_at(60 - age_s)).price == Decimal("1500.25")


@pytest.mark.parametrize(
    ("answer", "price"),
    [
        (99_500_000, "1"),
        (100_500_000, "1"),
        (100_000_000, "1"),
        (99_499_999, "0.99499999"),
        (100_500_001, "1.00500001"),
    ],
)
def test_a_stablecoin_is_one_inside_its_band(answer: int, price: str) -> None:
    """Both edges belong to it; outside, the feed's price counts and the record is flagged."""
    record = one(round_at(0, answer=answer), asset=USDC)
    assert record.price == Decimal(price)
    flagged = None if price == "1" else f"outside the peg band: {price} USD, not within 0.005 of 1"
    assert record.reason == flagged


def test_a_stale_stablecoin_is_no_price() -> None:
    """Not 1 for want of better."""
    record = one(round_at(60 - 86_401), asset=USDC)
    assert (record.price, record.reason) == (None, "stale: 86401 s old, heartbeat 86400 s")


def test_without_a_feed_there_is_no_record() -> None:
    """The general rate of one for one holds then."""
    feeds = Feeds()
    assert reader(feeds, feeds={ETH: FEED}).prices([(USDC, block())]) == []
    assert feeds.batches == []


def test_many_deposits_are_one_batch() -> None:
    """Each asset and block once, whatever the order; a feed's own facts once in its life."""
    wanted = [(asset, block(number=number)) for number in (3, 1, 2) for asset in (ETH, USDC)]
    feeds = Feeds(
        {
            (feed.address, header.hash): round_at(0, answer=10**8 * header.number)
            for feed, header in ((FEED if asset == ETH else COIN, header) for asset, header in wanted)
        }
    )
    one_reader = reader(feeds)
    records = one_reader.prices([*wanted, *wanted])
    assert [(record.block_number, record.asset) for record in records] == sorted(
        (header.number, asset) for asset, header in wanted
    )
    assert [record.price for record in records if record.asset == ETH] == [1, 2, 3]
    assert feeds.batches == [6 + 4]
    one_reader.prices(wanted[:1])
    assert feeds.batches == [10, 1]


@pytest.mark.parametrize(
    "answer",
    [
        classify("header not found"),
        classify("too many requests"),
        RpcFault(FaultKind.OTHER, "internal error"),
        None,
        {"error": 1},
    ],
)
def test_what_may_pass_is_no_record(answer: Any) -> None:
    """It is asked again at the next pull, and then becomes one."""
    feeds = Feeds({(FEED.address, block().hash): answer})
    asked = reader(feeds)
    assert asked.prices([(ETH, block())]) == []
    assert list(asked.waiting) == [(ETH, block().hash)]
    feeds.at[FEED.address, block().hash] = round_at(0)
    assert [record.price for record in asked.prices([(ETH, block())])] == [Decimal("1500.25")]
    assert asked.waiting == {}


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (facts("BTC / USD"), "says that it is 'BTC / USD'"),
        (("0x", "0x"), "there is no contract for the feed ETH / USD"),
        ((REVERTED, facts("ETH / USD")[1]), "does not answer decimals()"),
        (("0x" + "ff" * 32, facts("ETH / USD")[1]), "does not answer decimals()"),
        ((facts("")[0], REVERTED), "does not answer description()"),
        ((classify("internal error"), facts("ETH / USD")[1]), "cannot be read: internal error"),
    ],
)
def test_a_feed_that_is_not_the_configured_one_prices_nothing(said: tuple[Any, Any], problem: str) -> None:
    """Doctor is told in words; nothing is recorded, so that mending the configuration is enough."""
    feeds = Feeds({(FEED.address, block().hash): round_at(0)}, said={FEED.address: said})
    asked = reader(feeds)
    (told,) = asked.verify(feeds)
    assert problem in told
    assert asked.prices([(ETH, block())]) == []
    assert problem in asked.waiting[ETH, block().hash]
    feeds.said[FEED.address] = facts("ETH / USD")
    assert asked.verify(feeds) == []
    assert len(asked.prices([(ETH, block())])) == 1


def test_a_feed_may_go_by_another_name() -> None:
    """Coins are renamed, and their feeds with them."""
    renamed = replace(FEED, description="POL / USD", aliases=("ETH / USD",))
    assert reader(Feeds(), feeds={ETH: renamed}).verify(Feeds()) == []


def test_what_cannot_be_meant_is_refused() -> None:
    """An asset of another chain, or a feed in another currency than the peg."""
    with pytest.raises(ValueError, match="no asset of chain 10"):
        reader(Feeds(), chain_id=10)
    with pytest.raises(ValueError, match=r"quoted in USD, but .* follows EUR"):
        reader(Feeds(), pegs={USDC: Peg(quote="EUR", band=Decimal("0.01"))})


def test_the_registry_holds_feeds_that_a_reader_takes() -> None:
    """Every feed of the data file is quoted in what its asset follows, where it follows something."""
    for chain in known_chains().values():
        pegged = {token.symbol: token.peg for token in chain.tokens}
        assert all(pegged.get(feed.asset) in (None, feed.quote) for feed in chain.feeds)


def pruned(
    moments: Sequence[int], *wanted_s: int, first: int = 1
) -> tuple[Feeds, list[AssetPrice], PriceReader]:
    """Deposits whose state is gone, and a feed with a round at each moment; round n is worth n dollars."""
    rounds = [
        round_at(at_s, answer=number * 10**8, number=number)
        for number, at_s in enumerate(moments, start=first)
    ]
    headers = [block(at_s, number=number) for number, at_s in enumerate(wanted_s, start=1)]
    feeds = Feeds({(FEED.address, header.hash): PRUNED for header in headers}, rounds={FEED.address: rounds})
    asked = reader(feeds, feeds={ETH: replace(FEED, heartbeat_s=10**9)})
    return feeds, asked.prices([(ETH, header) for header in headers]), asked


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=200).map(sorted), st.integers(0, 1000))
@settings(deadline=None)
def test_without_the_state_the_rounds_tell_the_same(moments: list[int], at_s: int) -> None:
    """The newest round that is not later than the block, as a walk over all of them finds it."""
    feeds, records, _ = pruned(moments, at_s)
    (record,) = records
    before = [number for number, moment in enumerate(moments, start=1) if moment <= at_s]
    if before:
        assert (record.price, record.reason) == (Decimal(before[-1]), None)
    else:
        assert (record.price, record.reason) == (
            None,
            "older phase: the feed's phase 6 began after the block",
        )
    assert len(feeds.batches) <= 2 + 2 * len(moments).bit_length()


def test_many_old_blocks_are_searched_side_by_side() -> None:
    """A hundred of them take hardly more batches than one, and no round is asked for twice."""
    feeds, records, _ = pruned(range(0, 100_000, 10), *range(5, 1000, 10))
    assert [record.price for record in records] == list(range(1, 101))
    assert len(feeds.batches) <= 30
    assert sum(feeds.batches[2:]) <= 200


def test_a_missing_round_is_no_price() -> None:
    """The search stops there: what lies behind a gap is not guessed."""
    _, records, _ = pruned([10, 20, 30], 5, first=7)
    assert [(record.price, record.reason) for record in records] == [
        (None, f"missing round: the feed does not tell its round {PHASE + 6}")
    ]


def test_a_round_without_a_time_is_missing() -> None:
    """Old aggregators answer with zeros for rounds that they never finished."""
    rounds = [round_at(0, number=1), round_at(0, number=2, updated_s=0), round_at(90, number=3)]
    record = one(PRUNED, rounds={FEED.address: rounds})
    assert record.reason == f"missing round: the feed does not tell its round {PHASE + 2}"


def test_a_walk_that_the_node_breaks_off_is_taken_up_again() -> None:
    """A node's trouble is no fact about a block."""
    feeds, _, _ = pruned([10, 20, 30], 15)
    asked = reader(
        lambda calls: [PRUNED if call.params[1] != "latest" else busy(feeds, call) for call in calls]
    )
    assert asked.prices([(ETH, block(15))]) == []
    assert asked.waiting == {(ETH, block().hash): "not answered: internal error"}


def busy(feeds: Feeds, call: Call) -> Any:
    """A node that answers all but getRoundData."""
    if call.params[0]["data"].startswith(prices_feed.ROUND):
        return RpcFault(FaultKind.OTHER, "internal error")
    return feeds([call])[0]


def test_a_round_of_the_walk_is_judged_like_any() -> None:
    """Too old is too old, whichever way it was found."""
    record = one(PRUNED, at_s=3700, rounds={FEED.address: [round_at(0, number=1), round_at(9000, number=2)]})
    assert record.reason == "stale: 3700 s old, heartbeat 3600 s"


class OnChain:
    """Asks a chain of the sandbox.

    Args:
        keeps: of how many blocks below the head its state is kept; None for all of them.
    """

    def __init__(self, chain: DevChain, keeps: int | None = None) -> None:
        self._methods = Methods(chain, Limits(state_depth=keeps))

    def header(self, number: int) -> Header:
        """A block's header."""
        raw = self._methods.answer("eth_getBlockByNumber", [hex(number), False])
        return header_of(orjson.loads(orjson.dumps(raw)))

    def __call__(self, calls: Sequence[Call]) -> list[Any]:
        """One batch."""
        return [self._answer(call) for call in calls]

    def _answer(self, call: Call) -> Any:
        try:
            return self._methods.answer(call.method, list(call.params))
        except RpcError as error:
            return classify(error.message)


def test_on_a_chain_state_and_rounds_tell_the_same() -> None:
    """A real contract's answers at each block, with its state and without."""
    chain = DevChain(seed=4, chain_id=1, genesis_at=START)
    address = chain.deploy("Aggregator", 8, "ETH / USD", at=START + timedelta(seconds=10)).lower()
    deployed = chain.head()
    for number in range(1, 8):
        at = START + timedelta(seconds=100 * number)
        told = ("Aggregator", "answer", number * 10**8, int(at.timestamp()))
        chain.invoke(chain.faucet_address, address, told, at=at)
        chain.mine(at=at + timedelta(seconds=50))
    feed, whole = replace(FEED, address=address), OnChain(chain)
    wanted = [(ETH, whole.header(number)) for number in range(deployed - 1, chain.head() + 1)]
    by_state = reader(whole, feeds={ETH: feed}).prices(wanted)
    by_rounds = reader(OnChain(chain, keeps=0), feeds={ETH: feed}).prices(wanted)
    assert [record.price for record in by_state] == [None, None, *(n for n in range(1, 8) for _ in range(2))]
    assert (by_state[0].reason or "").startswith("no contract: ")
    assert (by_state[1].reason or "").startswith("refused: ")
    assert by_rounds[2:] == by_state[2:]
    assert {record.reason for record in by_rounds[:2]} == {
        "older phase: the feed's phase 1 began after the block"
    }
