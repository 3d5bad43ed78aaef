// SPDX-License-Identifier: MIT
pragma solidity 0.8.24;

import {DevToken} from "./DevToken.sol";

/// A token whose logs say more than arrives: a share of every transfer is destroyed on the way, unlogged.
contract FeeToken is DevToken {
    uint256 public immutable feeBps;

    constructor(string memory name_, string memory symbol_, uint8 decimals_, uint256 feeBps_)
        DevToken(name_, symbol_, decimals_)
    {
        feeBps = feeBps_;
    }

    function _move(address from, address to, uint256 value) internal override {
        super._move(from, to, value);
        uint256 fee = (value * feeBps) / 10_000;
        balanceOf[to] -= fee;
        totalSupply -= fee;
    }
}
