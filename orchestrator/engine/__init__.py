"""The loops: read what happened, ask the pure heart, write what it decided, deliver what it wants done."""
