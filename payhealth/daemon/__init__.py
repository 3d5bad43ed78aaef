"""The daemon: pull, reconcile and check on their schedules, and a door for probes and metrics."""
