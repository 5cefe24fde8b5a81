"""The theory's regression test: what the theorems claimed and reached before, against what they do now."""
