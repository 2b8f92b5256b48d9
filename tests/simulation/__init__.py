"""Seeded simulation: the real plans of deciders, workers and clients against a real server, under a virtual clock.

One seed is one story: who runs when, who crashes where, which reply is lost. Run it with `python -m tests.simulation`.
"""
