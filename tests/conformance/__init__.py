"""Official, unmodified Conductor clients against our server; they live in an environment of their own."""
