"""Meta-iterations as one writes them without this package: the reference of ``benchmarks/locomotion.py``.

Environments of Gymnasium one after the other, a Python loop over tasks, derivatives by ``torch.autograd``. Nothing here
imports the package, and its numbers (learning rates, ridges, tolerances) come in as arguments.
"""
