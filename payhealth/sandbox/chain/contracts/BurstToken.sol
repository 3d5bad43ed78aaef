// SPDX-License-Identifier: MIT
pragma solidity 0.8.24;

/// A token that pays very many addresses in one transaction: address(first), address(first + 1) and so on.
/// Every hundred neighbours share one slot of storage for what bursts paid to each of them, so that the
/// state stays small and every balance is true.
contract BurstToken {
    string public name;
    string public symbol;
    uint8 public immutable decimals;
    uint256 public totalSupply;

    uint160 private constant NEIGHBOURS = 100;
    mapping(uint160 => uint256) private burstPaid;
    mapping(address => int256) private otherwise;

    event Transfer(address indexed from, address indexed to, uint256 value);

    error NotByHundreds(uint160 first, uint256 count);
    error InsufficientBalance(address holder, uint256 balance, uint256 needed);

    constructor(string memory name_, string memory symbol_, uint8 decimals_) {
        name = name_;
        symbol = symbol_;
        decimals = decimals_;
    }

    function balanceOf(address holder) public view returns (uint256) {
        return uint256(int256(burstPaid[uint160(holder) / NEIGHBOURS]) + otherwise[holder]);
    }

    /// Mints `value` to each of `count` addresses; `first` and `count` are multiples of 100.
    function burst(uint160 first, uint256 count, uint256 value) external {
        if (first % NEIGHBOURS != 0 || count % NEIGHBOURS != 0) revert NotByHundreds(first, count);
        totalSupply += count * value;
        unchecked {
            for (uint256 i = 0; i < count; i++) {
                uint160 at = first + uint160(i);
                if (at % NEIGHBOURS == 0) burstPaid[at / NEIGHBOURS] += value;
                emit Transfer(address(0), address(at), value);
            }
        }
    }

    function transfer(address to, uint256 value) external returns (bool) {
        uint256 held = balanceOf(msg.sender);
        if (held < value) revert InsufficientBalance(msg.sender, held, value);
        otherwise[msg.sender] -= int256(value);
        otherwise[to] += int256(value);
        emit Transfer(msg.sender, to, value);
        return true;
    }
}
