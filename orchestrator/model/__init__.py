"""What is written down: definitions, statuses, execution views, their rules and their JSON form.

Nothing here reads a clock, draws a random number, performs I/O or logs. Values are treated as immutable once built.
Every floor above imports from the rooms of this package by name; this file stays empty so that importing one room does
not load the others.
"""
