"""What people see of runs on a terminal or in a notebook: tables, progress, lines. Folds over the event log; no torch."""
