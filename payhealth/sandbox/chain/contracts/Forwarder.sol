// SPDX-License-Identifier: MIT
pragma solidity 0.8.24;

/// Moves coins by internal calls: no log tells of them, only traces and balances.
contract Forwarder {
    error NotDelivered(address to);
    error GivenUp();

    receive() external payable {}

    function forward(address to) external payable {
        _send(to, msg.value);
    }

    function forwardMany(address[] calldata to, uint256[] calldata amounts) external payable {
        for (uint256 i = 0; i < to.length; i++) {
            _send(to[i], amounts[i]);
        }
    }

    /// An inner call sends the coins on and then reverts: they stay here, the transaction succeeds.
    function forwardAndRevertInside(address to) external payable {
        try this.sendAndRevert{value: msg.value}(to) {} catch {}
    }

    function sendAndRevert(address to) external payable {
        _send(to, msg.value);
        revert GivenUp();
    }

    /// Everything held here goes to `to` without a call of it.
    function destroy(address payable to) external payable {
        selfdestruct(to);
    }

    function _send(address to, uint256 amount) private {
        (bool delivered, ) = to.call{value: amount}("");
        if (!delivered) revert NotDelivered(to);
    }
}
