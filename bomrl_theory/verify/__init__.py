"""Where gap and bound meet: verdicts, runs, counterexamples."""
