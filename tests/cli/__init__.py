"""Tests of the command line: commands in process on fakeredis, roles and `dev` as real processes."""
