"""The read side's memory: runs folded from their logs as far as they were read, and what makes that quick."""
