"""py-evm, set up by eth-tester, with nothing around it: blocks are mined on any parent, at any time.

The EVM keeps every branch it ever mined; which of them is canonical is decided above it (devchain.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.exceptions import Revert
from eth.vm.forks.shanghai import ShanghaiVM
from eth.vm.forks.shanghai.withdrawals import Withdrawal as EvmWithdrawal
from eth_keys.datatypes import PrivateKey
from eth_tester import PyEVMBackend
from eth_utils.address import to_canonical_address
from eth_utils.exceptions import ValidationError

from payhealth.sandbox.chain.sending import Withdrawal, max_fee_wei

PRIORITY_FEE_WEI = 10**9
"""What every transaction offers the miner per gas, so that fees stay worth accounting for."""

CALL_GAS_LIMIT = 10_000_000

ZERO_ADDRESS = b"\x00" * 20


class TransactionRefusedError(ValueError):
    """A transaction that no block may contain, such as one its sender cannot pay for."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A transaction still to be signed; ``to`` is None where it creates a contract, amounts in wei."""

    key: PrivateKey
    to: bytes | None
    value: int = 0
    data: bytes = b""
    gas: int


@dataclass(frozen=True, kw_only=True)
class Mined:
    """A block as py-evm holds it, with the receipts of its transactions in their order."""

    block: Any
    receipts: tuple[Any, ...] = ()

    @property
    def header(self) -> Any:
        """The block's header, by which the state after it is found."""
        return self.block.header


@dataclass(frozen=True, kw_only=True)
class CallResult:
    """What a call returned; ``error`` says in words why it did not end well."""

    output: bytes
    error: str | None = None


class Evm:
    """Executes transactions and answers questions about the state after any block.

    Args:
        chain_id: what transactions are signed for.
        genesis_at_s: time of block 0, seconds since 1970.
        balances: coins in wei by canonical address, there from block 0 on.
        codes: contracts by canonical address, there from block 0 on with nothing in their storage.
    """

    def __init__(
        self,
        *,
        chain_id: int,
        genesis_at_s: int,
        balances: Mapping[bytes, int],
        codes: Mapping[bytes, bytes] | None = None,
    ) -> None:
        codes = codes or {}
        accounts: dict[bytes, dict[str, Any]] = {
            address: {
                "balance": balances.get(address, 0),
                # A contract's own count of contracts made begins at 1 (EIP-161).
                "nonce": 1 if address in codes else 0,
                "code": codes.get(address, b""),
                "storage": {},
            }
            for address in {**balances, **codes}
        }
        backend = PyEVMBackend(
            genesis_parameters=PyEVMBackend.generate_genesis_params({"timestamp": genesis_at_s}),
            genesis_state=accounts,
            vm_configuration=((0, ShanghaiVM),),
        )
        self._chain: Any = backend.chain
        # eth-tester fixes a chain id on its class; ours goes on the instance.
        self._chain.chain_id = chain_id
        self.genesis = Mined(block=self._chain.get_canonical_block_by_number(0))

    def mine(
        self,
        parent: Any,
        *,
        at_s: int,
        extra_data: bytes,
        orders: Sequence[Any] = (),
        withdrawals: Sequence[Withdrawal] = (),
    ) -> Mined:
        """Mine a block on the header ``parent``.

        Args:
            parent: the header of any block mined before.
            at_s: the block's time, seconds since 1970.
            extra_data: what the block carries beside.
            orders: its transactions in their order: an ``Order`` to sign, or one that ``signed_in`` gave.
            withdrawals: coins that arrive at the block's end.

        Raises:
            TransactionRefusedError: nothing was mined.
        """
        header = self._chain.create_header_from_parent(parent, timestamp=at_s, extra_data=extra_data)
        # Set rather than passed on: mine_all(parent_header=...) would take the time from the wall clock.
        self._chain.header = header
        transactions = self._sign_all(orders, parent, header)
        arriving = [
            EvmWithdrawal(
                index=index,
                validator_index=index,
                address=to_canonical_address(each.recipient),
                amount=each.amount_gwei,
            )
            for index, each in enumerate(withdrawals)
        ]
        try:
            imported, receipts, _ = self._chain.mine_all(transactions, withdrawals=arriving)
        except ValidationError as error:
            raise TransactionRefusedError(str(error)) from error
        return Mined(block=imported.imported_block, receipts=receipts)

    def signed_in(self, header: Any) -> list[Any]:
        """The signed transactions of a block, to be mined again as they are."""
        builder = self._chain.get_transaction_builder()
        return list(self._chain.chaindb.get_block_transactions(header, builder))

    def gas_price(self, parent: Any) -> int:
        """What a transaction in the block after ``parent`` pays, in wei per gas."""
        return int(self._chain.create_header_from_parent(parent).base_fee_per_gas) + PRIORITY_FEE_WEI

    def balance(self, header: Any, address: bytes) -> int:
        """Coins of an address after a block, in wei."""
        return int(self._state(header).get_balance(address))

    def nonce(self, header: Any, address: bytes) -> int:
        """Number of transactions an address has sent up to and with a block."""
        return int(self._state(header).get_nonce(address))

    def code(self, header: Any, address: bytes) -> bytes:
        """The contract at an address after a block, empty where there is none."""
        return bytes(self._state(header).get_code(address))

    def call(
        self, header: Any, *, sender: bytes, to: bytes, value: int = 0, data: bytes, gas: int = CALL_GAS_LIMIT
    ) -> CallResult:
        """Execute a call on the state after a block and throw its effects away."""
        vm = self._chain.get_vm(header)
        computation = vm.execute_bytecode(
            origin=sender,
            gas_price=0,
            gas=min(gas, CALL_GAS_LIMIT),
            to=to,
            sender=sender,
            value=value,
            data=data,
            code=vm.state.get_code(to),
        )
        if not computation.is_error:
            return CallResult(output=bytes(computation.output))
        reverted = isinstance(computation.error, Revert)
        reason = "execution reverted" if reverted else str(computation.error) or "execution failed"
        return CallResult(output=bytes(computation.output) if reverted else b"", error=reason)

    def _state(self, header: Any) -> Any:
        return self._chain.get_vm(header).state

    def _sign_all(self, orders: Sequence[Any], parent: Any, header: Any) -> list[Any]:
        signed: list[Any] = []
        nonces: dict[bytes, int] = {}
        spendable: dict[bytes, int] = {}
        due = header.base_fee_per_gas + PRIORITY_FEE_WEI
        for order in orders:
            known = not isinstance(order, Order)
            sender = order.sender if known else order.key.public_key.to_canonical_address()
            if sender not in nonces:
                nonces[sender] = self.nonce(parent, sender)
                spendable[sender] = self.balance(parent, sender)
            if known:
                signed.append(order)
            else:
                fee = max_fee_wei(due=due, gas=order.gas, spendable=spendable[sender] - order.value)
                signed.append(self._sign(order, sender=sender, nonce=nonces[sender], max_fee=fee))
            nonces[sender] += 1
            # At most: what is left bounds what the sender's next transaction in this block may offer.
            spendable[sender] -= order.value + order.gas * due
        return signed

    def _sign(self, order: Order, *, sender: bytes, nonce: int, max_fee: int) -> Any:
        unsigned = self._chain.get_transaction_builder().new_unsigned_dynamic_fee_transaction(
            chain_id=self._chain.chain_id,
            nonce=nonce,
            max_priority_fee_per_gas=PRIORITY_FEE_WEI,
            max_fee_per_gas=max_fee,
            gas=order.gas,
            to=CREATE_CONTRACT_ADDRESS if order.to is None else order.to,
            value=order.value,
            data=order.data,
            access_list=(),
        )
        signed = unsigned.as_signed_transaction(order.key)
        # The cached property `sender`, filled in: recovering it from the signature we have just made costs
        # more than the rest of the block (in pure Python some 5 ms).
        signed.__dict__["sender"] = sender
        return signed
