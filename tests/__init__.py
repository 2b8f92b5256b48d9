"""The tests, one folder per room of the product, and the programs `python -m tests.simulation` and `-m tests.crash`.

A package, so that a stray `tests` package of some installed library cannot be imported in its place.
"""
