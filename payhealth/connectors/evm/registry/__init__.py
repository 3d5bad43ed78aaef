"""What is known before a node is asked: chains, tokens, feeds, and whose addresses are ours."""
