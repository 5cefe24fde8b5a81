"""The tie between the registry and the machine-checked proofs in ``proofs/coq``."""
