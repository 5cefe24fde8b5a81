"""Meta-learning methods: one file a learner, discovered by its ``LEARNER``."""
