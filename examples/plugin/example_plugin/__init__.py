"""A method, a retriever and a benchmark for run-compare, found by their entry points in ``pyproject.toml``."""
