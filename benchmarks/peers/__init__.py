"""What people serve models with today, each around one and the same network: the peers of `benchmarks.serving`.

Their pins do not fit each other's, so each has an environment of its own: `python -m benchmarks.peers` makes them in
`.peers/` (or where BENCHMARK_PEERS says). A peer without one is left out, and named.
"""
