"""Tests of the system tasks and of the role that carries them out."""
