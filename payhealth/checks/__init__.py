"""Checks: one file each, a loader that reads the views and a pure ``evaluate(data, thresholds, now)``."""
