"""Talking to nodes: endpoints, their faults and scores, how much to ask for, typed questions."""
