// SPDX-License-Identifier: MIT
pragma solidity 0.8.24;

/// Many calls in one, answering as the contract that most chains have at a well-known address.
contract Multicall3 {
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    error CallFailed(uint256 index);

    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory results) {
        results = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; i++) {
            (bool success, bytes memory returned) = calls[i].target.call(calls[i].callData);
            if (!success && !calls[i].allowFailure) revert CallFailed(i);
            results[i] = Result(success, returned);
        }
    }

    function getEthBalance(address holder) external view returns (uint256) {
        return holder.balance;
    }

    function getBlockNumber() external view returns (uint256) {
        return block.number;
    }
}
