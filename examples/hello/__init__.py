"""The smallest workflow there is."""
