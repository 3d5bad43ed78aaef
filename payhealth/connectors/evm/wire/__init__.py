"""JSON-RPC values as a node sends them, read and checked; pure."""
