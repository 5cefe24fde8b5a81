"""Meta-learning methods on sampled tasks: one file a learner, discovered by its ``LEARNER``."""
