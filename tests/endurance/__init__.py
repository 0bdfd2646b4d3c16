"""What `tests/soak` and `tests/leaks` are made of: a server, loads on it, accounts of it, verdicts."""
