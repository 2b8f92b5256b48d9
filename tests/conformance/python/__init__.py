"""The official Python SDK, unmodified, in every version that ``make conformance`` installs."""
