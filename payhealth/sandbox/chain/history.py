"""Which blocks are canonical: the chain as an index by number, block hash and transaction hash."""

from __future__ import annotations

from payhealth.sandbox.chain.blocks import Block


class History:
    """The canonical blocks from genesis to head, without gaps.

    Args:
        genesis: block 0, which is never dropped.
    """

    def __init__(self, genesis: Block) -> None:
        self._blocks = [genesis]
        self._numbers = {genesis.hash: 0}
        self._transactions: dict[str, tuple[int, int]] = {}

    @property
    def head(self) -> Block:
        """The newest block."""
        return self._blocks[-1]

    def append(self, block: Block) -> None:
        """Add the next block.

        Raises:
            ValueError: when it is not the head's child.
        """
        if block.fields["parentHash"] != self.head.hash:
            raise ValueError(f"block {block.number} is not a child of block {self.head.number}")
        self._blocks.append(block)
        self._numbers[block.hash] = block.number
        for index, transaction in enumerate(block.transactions):
            self._transactions[transaction["hash"]] = (block.number, index)

    def drop_after(self, number: int) -> None:
        """Forget every block above ``number``."""
        for block in self._blocks[number + 1 :]:
            del self._numbers[block.hash]
            for transaction in block.transactions:
                del self._transactions[transaction["hash"]]
        del self._blocks[number + 1 :]

    def after(self, number: int) -> list[Block]:
        """The blocks above ``number``, lowest first."""
        return self._blocks[number + 1 :]

    def at(self, number: int) -> Block | None:
        """The block of a number, None beyond the head."""
        return self._blocks[number] if 0 <= number < len(self._blocks) else None

    def by_hash(self, block_hash: str) -> Block | None:
        """The block of a hash, None where it is not canonical."""
        number = self._numbers.get(block_hash)
        return None if number is None else self._blocks[number]

    def locate(self, transaction_hash: str) -> tuple[Block, int] | None:
        """The block that holds a transaction, and its index there."""
        found = self._transactions.get(transaction_hash)
        return None if found is None else (self._blocks[found[0]], found[1])
