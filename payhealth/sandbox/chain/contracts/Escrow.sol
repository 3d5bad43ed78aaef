// SPDX-License-Identifier: MIT
pragma solidity 0.8.24;

interface IToken {
    function transfer(address to, uint256 value) external returns (bool);

    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// Holds payments as commerce-payments' escrow does in essence: its events, and the movements behind them.
/// Anyone may call anything; payers and, for refunds, receivers approve this contract beforehand.
contract Escrow {
    struct PaymentInfo {
        address operator;
        address payer;
        address receiver;
        address token;
        uint120 maxAmount;
        uint48 preApprovalExpiry;
        uint48 authorizationExpiry;
        uint48 refundExpiry;
        uint16 minFeeBps;
        uint16 maxFeeBps;
        address feeReceiver;
        uint256 salt;
    }

    mapping(bytes32 => uint256) public capturable;
    mapping(bytes32 => uint256) public refundable;

    event PaymentCharged(
        bytes32 indexed paymentInfoHash,
        PaymentInfo paymentInfo,
        uint256 amount,
        address tokenCollector,
        uint16 feeBps,
        address feeReceiver
    );
    event PaymentAuthorized(
        bytes32 indexed paymentInfoHash, PaymentInfo paymentInfo, uint256 amount, address tokenCollector
    );
    event PaymentCaptured(bytes32 indexed paymentInfoHash, uint256 amount, uint16 feeBps, address feeReceiver);
    event PaymentVoided(bytes32 indexed paymentInfoHash, uint256 amount);
    event PaymentReclaimed(bytes32 indexed paymentInfoHash, uint256 amount);
    event PaymentRefunded(bytes32 indexed paymentInfoHash, uint256 amount, address tokenCollector);

    error NotEnough(uint256 asked, uint256 there);
    error NotMoved();

    /// Payer to escrow.
    function authorize(PaymentInfo calldata info, uint256 amount) external {
        bytes32 key = getHash(info);
        capturable[key] += amount;
        emit PaymentAuthorized(key, info, amount, address(this));
        _pull(info.token, info.payer, address(this), amount);
    }

    /// Payer to receiver, less the fee.
    function charge(PaymentInfo calldata info, uint256 amount, uint16 feeBps, address feeReceiver) external {
        bytes32 key = getHash(info);
        refundable[key] += amount;
        emit PaymentCharged(key, info, amount, address(this), feeBps, feeReceiver);
        _pull(info.token, info.payer, address(this), amount);
        _distribute(info, amount, feeBps, feeReceiver);
    }

    /// Escrow to receiver, less the fee.
    function capture(PaymentInfo calldata info, uint256 amount, uint16 feeBps, address feeReceiver) external {
        bytes32 key = getHash(info);
        _take(capturable, key, amount);
        refundable[key] += amount;
        emit PaymentCaptured(key, amount, feeBps, feeReceiver);
        _distribute(info, amount, feeBps, feeReceiver);
    }

    /// Escrow back to payer: what was not captured, by the operator.
    function void(PaymentInfo calldata info) external {
        bytes32 key = getHash(info);
        uint256 amount = capturable[key];
        capturable[key] = 0;
        emit PaymentVoided(key, amount);
        _push(info.token, info.payer, amount);
    }

    /// Escrow back to payer: what was not captured, by the payer itself.
    function reclaim(PaymentInfo calldata info) external {
        bytes32 key = getHash(info);
        uint256 amount = capturable[key];
        capturable[key] = 0;
        emit PaymentReclaimed(key, amount);
        _push(info.token, info.payer, amount);
    }

    /// Receiver to payer.
    function refund(PaymentInfo calldata info, uint256 amount) external {
        bytes32 key = getHash(info);
        _take(refundable, key, amount);
        emit PaymentRefunded(key, amount, address(this));
        _pull(info.token, info.receiver, info.payer, amount);
    }

    function getHash(PaymentInfo calldata info) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), info));
    }

    function _distribute(PaymentInfo calldata info, uint256 amount, uint16 feeBps, address feeReceiver) private {
        uint256 fee = (amount * feeBps) / 10_000;
        if (fee != 0) _push(info.token, feeReceiver, fee);
        if (amount != fee) _push(info.token, info.receiver, amount - fee);
    }

    function _take(mapping(bytes32 => uint256) storage amounts, bytes32 key, uint256 amount) private {
        if (amounts[key] < amount) revert NotEnough(amount, amounts[key]);
        amounts[key] -= amount;
    }

    function _pull(address token, address from, address to, uint256 amount) private {
        if (!IToken(token).transferFrom(from, to, amount)) revert NotMoved();
    }

    function _push(address token, address to, uint256 amount) private {
        if (!IToken(token).transfer(to, amount)) revert NotMoved();
    }
}
