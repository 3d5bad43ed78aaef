"""A simulated world to run payhealth against: a card processor, a chain and a credits business.

It imports nothing else of payhealth, so that it cannot agree with the engine by sharing its mistakes.
"""
