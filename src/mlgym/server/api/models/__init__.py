"""What the read side answers with: the models behind `/api/v1/openapi.json`, from which the board's types are made.

Times are s since the epoch, UTC; durations s. A metric's key is `split/metric`. A value that is not finite is `null`
with its name in `non_finite`. `at` is the number of events that the answer takes into account.
"""
