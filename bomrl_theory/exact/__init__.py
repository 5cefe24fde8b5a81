"""Exact solution: policy evaluation, optima with certificates, and an independent linear program."""
