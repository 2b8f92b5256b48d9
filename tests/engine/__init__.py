"""Tests of the engine: deciders step by step on an in-process store, and as processes on real servers."""
