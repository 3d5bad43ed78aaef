// Recompiles every contract here into its JSON: `npm install solc@0.8.24`, then `node compile.js`.
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const names = fs.readdirSync(__dirname).filter((file) => file.endsWith(".sol")).map((file) => file.slice(0, -4));
const settings = {
  evmVersion: "shanghai",
  optimizer: { enabled: true, runs: 200 },
  // Without the metadata hash the bytecode depends on the code alone, not on comments or file names.
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
};
// selfdestruct is deprecated and used on purpose: it moves coins without a call.
const expected = new Set(["5159"]);
const sources = {};
names.forEach((name) => {
  sources[`${name}.sol`] = { content: fs.readFileSync(path.join(__dirname, `${name}.sol`), "utf8") };
});
const output = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
const problems = (output.errors || []).filter((problem) => !expected.has(problem.errorCode));
if (problems.length) {
  problems.forEach((problem) => console.error(problem.formattedMessage));
  process.exit(1);
}
names.forEach((name) => {
  const contract = output.contracts[`${name}.sol`][name];
  const artifact = {
    contract: name,
    compiler: solc.version(),
    settings: { evmVersion: settings.evmVersion, optimizer: settings.optimizer, metadata: settings.metadata },
    abi: contract.abi,
    bytecode: "0x" + contract.evm.bytecode.object,
    runtime: "0x" + contract.evm.deployedBytecode.object,
  };
  fs.writeFileSync(path.join(__dirname, `${name}.json`), JSON.stringify(artifact, null, 1) + "\n");
});
