"""Ours, a peer and the raw limit, measured side by side in one run.

`python -m benchmarks [NAME ...] [--json] [--small]`. A benchmark is a module of this package with a function
`run(small: bool) -> Iterator[Row]`; what they share is in `harness`.
"""
