"""Programs to read and to run; each folder has a README, and none of them is part of the package."""
