"""What people see of runs on a terminal or in a notebook: tables, progress, lines; no torch."""
