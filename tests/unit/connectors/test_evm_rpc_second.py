"""A second opinion: what the best provider but the active one says."""

from __future__ import annotations

from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import FaultKind
from tests.unit.connectors.evm_rpc_support import A, B, C, Net, client, down, error, named

CALLS = [Call("eth_a"), Call("eth_b")]
SAID = ["eth_a", "eth_b"]


class TestSecondOpinion:
    """What another provider says."""

    def test_it_is_the_best_other_one_s(self) -> None:
        """With its name, in one request, faults as values; the active provider stays."""
        net = Net()
        net.answering["b"] = lambda calls: [named(calls)[0], error("execution reverted", calls[1]["id"])]
        it = client(net, A, B)
        it.ask(CALLS)
        name, answers = it.second_opinion(CALLS) or ("", [])
        assert (name, answers[0], answers[1].kind) == ("b.test", "eth_a", FaultKind.EXECUTION)
        assert it.provider == "a.test"

    def test_there_is_none_without_another_that_answers(self) -> None:
        """One provider, or the other down: nobody vouches, and the caller knows."""
        assert client(Net(), A).second_opinion(CALLS) is None
        net = Net()
        net.answering["b"] = down
        it = client(net, A, B)
        assert it.second_opinion(CALLS) is None
        asked = net.asked("b")
        assert it.second_opinion(CALLS) is None
        assert net.asked("b") - asked == 1, "one that is at rest is asked once, not with all attempts"

    def test_a_third_stands_in(self) -> None:
        """The second is down, the third answers."""
        net = Net()
        net.answering["b"] = down
        assert client(net, A, B, C).second_opinion(CALLS) == ("c.test", SAID)

    def test_many_calls_are_cut_as_ever(self) -> None:
        """With the tail in each request."""
        net = Net()
        found = client(net, A, B, batch_calls=3).second_many(
            [Call(f"eth_{n}") for n in range(4)], Call("eth_t")
        )
        assert found == ("b.test", ["eth_0", "eth_1", "eth_2", "eth_3"], ["eth_t"] * 2)
