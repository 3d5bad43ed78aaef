"""From blocks to records: ranges, the recent window, reorgs, one pull."""
