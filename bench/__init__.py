"""How fast the service is, beside what else one could run, and how its cost grows (bench/README.md)."""
