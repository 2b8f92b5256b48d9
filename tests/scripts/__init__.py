"""User scripts: what they give, what they cannot reach, and what becomes of those that want too much."""
