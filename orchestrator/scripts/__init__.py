"""User scripts: JavaScript, a small safe Python, and JQ, each within a limit of time and memory.

``evaluator`` answers scripts inside decisions, ``children`` keeps the killable processes that everything written in C
runs in, ``child`` is what runs there. A script sees its input and nothing else: no host, no files, no network, no
environment, and a clock and randomness that are given to it. Nothing here knows the store or the engine.
"""
