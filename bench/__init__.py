"""The benchmark: our own jobs, beside a peer on the same machine, as ratios to what the store itself can do.

``make bench`` runs it and prints one table. Absolute figures move from machine to machine and from hour to hour; the ratios
to R (script calls per second of the store under 50 connections) and T (one round trip of one connection), measured before
and after each block, are what can be compared.
"""
