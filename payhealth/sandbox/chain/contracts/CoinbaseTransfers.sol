// SPDX-License-Identifier: MIT
pragma solidity 0.8.24;

interface IMovable {
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// Emits the event of Coinbase's payments contract, with the movement it tells of or, forged, without.
contract CoinbaseTransfers {
    event Transferred(
        address indexed operator,
        bytes16 id,
        address recipient,
        address sender,
        uint256 spentAmount,
        address spentCurrency
    );

    error NotDelivered(address to);

    /// The caller pays in tokens it approved, and is the operator itself.
    function pay(address token, address recipient, uint256 amount, bytes16 id) external {
        _pay(msg.sender, token, recipient, amount, 0, id);
    }

    /// The caller pays the recipient `amount` and the operator `fee`; the event says the sum was spent.
    function payFor(
        address operator,
        address token,
        address recipient,
        uint256 amount,
        uint256 fee,
        bytes16 id
    ) external {
        _pay(operator, token, recipient, amount, fee, id);
    }

    /// The caller pays in coins, and is the operator itself.
    function payNative(address recipient, bytes16 id) external payable {
        _payNative(msg.sender, recipient, id);
    }

    function payNativeFor(address operator, address recipient, bytes16 id) external payable {
        _payNative(operator, recipient, id);
    }

    /// The event alone.
    function forge(
        address operator,
        bytes16 id,
        address recipient,
        address sender,
        uint256 spentAmount,
        address spentCurrency
    ) external {
        emit Transferred(operator, id, recipient, sender, spentAmount, spentCurrency);
    }

    function _pay(
        address operator,
        address token,
        address recipient,
        uint256 amount,
        uint256 fee,
        bytes16 id
    ) private {
        if (!IMovable(token).transferFrom(msg.sender, recipient, amount)) revert NotDelivered(recipient);
        if (fee != 0 && !IMovable(token).transferFrom(msg.sender, operator, fee)) revert NotDelivered(operator);
        emit Transferred(operator, id, recipient, msg.sender, amount + fee, token);
    }

    function _payNative(address operator, address recipient, bytes16 id) private {
        (bool delivered, ) = recipient.call{value: msg.value}("");
        if (!delivered) revert NotDelivered(recipient);
        emit Transferred(operator, id, recipient, msg.sender, msg.value, address(0));
    }
}
