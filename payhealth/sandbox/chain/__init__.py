"""A real EVM chain for tests and demonstrations: in process on py-evm, or on anvil where it is installed.

Nothing is imported here: py-evm takes more than a second to load, anvil's client does not need it.
"""
