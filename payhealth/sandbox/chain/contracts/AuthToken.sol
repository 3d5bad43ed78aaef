// SPDX-License-Identifier: MIT
pragma solidity 0.8.24;

import {DevToken} from "./DevToken.sol";

/// A token that lets anyone deliver a transfer its holder authorised (ERC-3009). No signature is asked for.
contract AuthToken is DevToken {
    mapping(address => mapping(bytes32 => bool)) public authorizationState;

    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

    error AuthorizationUsedBefore(address authorizer, bytes32 nonce);

    constructor(string memory name_, string memory symbol_, uint8 decimals_) DevToken(name_, symbol_, decimals_) {}

    function transferWithAuthorization(address from, address to, uint256 value, bytes32 nonce) external {
        _authorized(from, to, value, nonce);
    }

    /// Several authorised transfers in one transaction: their events alternate.
    function transferManyWithAuthorization(
        address[] calldata from,
        address[] calldata to,
        uint256[] calldata values,
        bytes32[] calldata nonces
    ) external {
        for (uint256 i = 0; i < from.length; i++) {
            _authorized(from[i], to[i], values[i], nonces[i]);
        }
    }

    function _authorized(address from, address to, uint256 value, bytes32 nonce) private {
        if (authorizationState[from][nonce]) revert AuthorizationUsedBefore(from, nonce);
        authorizationState[from][nonce] = true;
        emit AuthorizationUsed(from, nonce);
        _move(from, to, value);
    }
}
