"""Which entry answers which movement, what is left over, and the proof that nothing was lost on the way."""
