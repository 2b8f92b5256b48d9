"""The example on sub-workflows."""
