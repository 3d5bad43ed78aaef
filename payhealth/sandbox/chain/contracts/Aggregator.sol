// SPDX-License-Identifier: MIT
pragma solidity 0.8.24;

/// A price feed shaped as Chainlink's, whose rounds anyone may add.
contract Aggregator {
    struct Round {
        int256 answer;
        uint256 updatedAt;
    }

    uint8 public decimals;
    string public description;
    uint256 public constant version = 4;
    Round[] private rounds;

    /// Rounds are numbered from 1 within a phase, which the upper 16 of a round id's 80 bits name.
    uint80 private constant PHASE = uint80(1) << 64;

    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    constructor(uint8 decimals_, string memory description_) {
        decimals = decimals_;
        description = description_;
    }

    /// For a feed that was placed at an address without its constructor.
    function describe(uint8 decimals_, string calldata description_) external {
        decimals = decimals_;
        description = description_;
    }

    function answer(int256 answer_, uint256 updatedAt) external {
        rounds.push(Round(answer_, updatedAt));
        emit AnswerUpdated(answer_, rounds.length, updatedAt);
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return _round(rounds.length);
    }

    function getRoundData(uint80 roundId) external view returns (uint80, int256, uint256, uint256, uint80) {
        require(roundId >= PHASE, "No data present");
        return _round(roundId - PHASE);
    }

    function _round(uint256 number) private view returns (uint80, int256, uint256, uint256, uint80) {
        require(number != 0 && number <= rounds.length, "No data present");
        Round storage round = rounds[number - 1];
        uint80 id = PHASE + uint80(number);
        return (id, round.answer, round.updatedAt, round.updatedAt, id);
    }
}
