"""The example on scripts, jq and variables."""
