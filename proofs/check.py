"""Check the machine-checked proofs against the registry, or write what the registry gives.

python proofs/check.py              compile the proofs and compare them with the registry
python proofs/check.py --generate   write the generated files after a change of the registry
python proofs/check.py --pin        write the statements to read and review after a change in Coq
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bomrl_theory.formal.check import PINNED, check, generated, statements
from bomrl_theory.formal.check import tied_theorems as tied
from bomrl_theory.formal.language import FormalError
from bomrl_theory.formal.library import INSTALL, compiled, installed, sources
from bomrl_theory.formal.manifest import Entry, Manifest, digest
from bomrl_theory.theory.registry import registry

COQ = Path(__file__).parent / "coq"


def main() -> int:
    """The exit code: 0 if everything agrees, 1 if not, 3 without Coq."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--generate", action="store_true", help="write the generated files and digests")
    choice.add_argument("--pin", action="store_true", help="write the statements as Coq prints them")
    chosen = parser.parse_args()
    manifest = Manifest.load()
    if chosen.generate:
        manifest = Manifest(
            {name: Entry(e.theorem, e.related, digest(registry()[name])) for name, e in manifest.entries.items()},
            manifest.foundations,
        )
        manifest.save()
        for name, text in generated(tied(registry(), manifest)).items():
            (COQ / name).write_text(text, encoding="utf-8")
        return 0
    if not installed():
        print(f"Coq is not installed: {INSTALL}", file=sys.stderr)
        return 3
    try:
        if chosen.pin:
            with tempfile.TemporaryDirectory() as scratch:
                library = compiled(COQ, sources(COQ), Path(scratch))
                (COQ / PINNED).write_text(statements(library, manifest), encoding="utf-8")
            return 0
        done = check(COQ, registry(), manifest)
    except FormalError as error:
        print(f"REFUSED: {error}", file=sys.stderr)
        return 1
    for name, identities in done.theorems.items():
        print(f"{name:50} {', '.join(identities)}".rstrip())
    print(f"axioms: {', '.join(sorted(done.axioms))}")
    print(f"{len(done.theorems)} theorems, {len(manifest.entries)} of the registry; compiled in {done.seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
