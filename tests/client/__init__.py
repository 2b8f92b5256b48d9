"""Tests of the clients: what they ask of an installation and how they find it."""
