"""Within-task adaptation: one file an algorithm, discovered by its ``ALGORITHM``."""
