"""What a run does next where that depends on what came out: nested cross validation and searches."""
