"""Where a detector breaks: factor plans, detectors under test, the run, its scores, the report and the pack."""
