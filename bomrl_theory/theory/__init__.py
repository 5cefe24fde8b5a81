"""Theorems as executable objects: expressions, constants, assumptions, registry."""
