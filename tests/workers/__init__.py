"""Tests of the native workers."""
