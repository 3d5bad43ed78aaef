// Recompiles DevToken.sol into DevToken.json: `npm install solc@0.8.24`, then `node compile.js`.
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const name = "DevToken";
const source = path.join(__dirname, `${name}.sol`);
const settings = {
  evmVersion: "shanghai",
  optimizer: { enabled: true, runs: 200 },
  // Without the metadata hash the bytecode depends on the code alone, not on comments or file names.
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { [name]: ["abi", "evm.bytecode.object"] } },
};
const input = {
  language: "Solidity",
  sources: { [`${name}.sol`]: { content: fs.readFileSync(source, "utf8") } },
  settings,
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
if ((output.errors || []).length) {
  output.errors.forEach((problem) => console.error(problem.formattedMessage));
  process.exit(1);
}
const contract = output.contracts[`${name}.sol`][name];
const artifact = {
  contract: name,
  compiler: solc.version(),
  settings: { evmVersion: settings.evmVersion, optimizer: settings.optimizer, metadata: settings.metadata },
  abi: contract.abi,
  bytecode: "0x" + contract.evm.bytecode.object,
};
fs.writeFileSync(path.join(__dirname, `${name}.json`), JSON.stringify(artifact, null, 1) + "\n");
