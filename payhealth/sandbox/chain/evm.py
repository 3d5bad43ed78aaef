"""py-evm, set up by eth-tester, with nothing around it: blocks are mined on any parent, at any time.

The EVM keeps every branch it ever mined; which of them is canonical is decided above it (devchain.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.exceptions import Revert
from eth.vm.forks.shanghai import ShanghaiVM
from eth_keys.datatypes import PrivateKey
from eth_tester import PyEVMBackend
from eth_utils.exceptions import ValidationError

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
    """

    def __init__(self, *, chain_id: int, genesis_at_s: int, balances: dict[bytes, int]) -> None:
        accounts = {
            address: {"balance": wei, "nonce": 0, "code": b"", "storage": {}}
            for address, wei in balances.items()
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

    def mine(self, parent: Any, *, at_s: int, extra_data: bytes, order: Order | None = None) -> Mined:
        """Mine a block on the header ``parent``, empty or with one transaction.

        Raises:
            TransactionRefusedError: nothing was mined.
        """
        header = self._chain.create_header_from_parent(parent, timestamp=at_s, extra_data=extra_data)
        # Set rather than passed on: mine_all(parent_header=...) would take the time from the wall clock.
        self._chain.header = header
        transactions = [] if order is None else [self._sign(order, parent, header)]
        try:
            imported, receipts, _ = self._chain.mine_all(transactions)
        except ValidationError as error:
            raise TransactionRefusedError(str(error)) from error
        return Mined(block=imported.imported_block, receipts=receipts)

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

    def _sign(self, order: Order, parent: Any, header: Any) -> Any:
        sender = order.key.public_key.to_canonical_address()
        unsigned = self._chain.get_transaction_builder().new_unsigned_dynamic_fee_transaction(
            chain_id=self._chain.chain_id,
            nonce=self.nonce(parent, sender),
            max_priority_fee_per_gas=PRIORITY_FEE_WEI,
            # Exactly what is due: the block's base fee is known, so a balance can be sent to the last wei.
            max_fee_per_gas=header.base_fee_per_gas + PRIORITY_FEE_WEI,
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
