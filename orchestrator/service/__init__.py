"""One function for each thing a user can ask; the HTTP layer, the command line and the Python client call these."""
