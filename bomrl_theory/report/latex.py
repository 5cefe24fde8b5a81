"""The report's summary as a LaTeX table for a paper."""

from __future__ import annotations

from bomrl_theory.report.finding import Finding, finding
from bomrl_theory.report.ratio_text import ratio_text
from bomrl_theory.theory.theorem import by_topic
from bomrl_theory.verify.run import Run, TheoremResult

HEAD = r"""% {command}
% Needs \usepackage{{array,booktabs,longtable}}.
\begin{{longtable}}{{@{{}}>{{\raggedright}}p{{0.32\linewidth}}>{{\raggedright}}p{{0.4\linewidth}}lr@{{}}}}
\caption{{{caption}}} \\
\toprule
theorem & what it says & finding & max left/bound \\
\midrule
\endfirsthead
\toprule
theorem & what it says & finding & max left/bound \\
\midrule
\endhead
\bottomrule
\endfoot
"""
FINDINGS = {Finding.REFUTED: "refuted", Finding.NOT_REFUTED: "not refuted"}
ESCAPED = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def latex(run: Run, *, command: str, counts: str) -> str:
    """A ``longtable`` with booktabs rules: id, title, finding, largest left/bound; by topic.

    Args:
        command: what regenerates it, in a comment.
        counts: the caption, in plain text.
    """
    results = {result.theorem.id: result for result in run.results}
    lines = []
    for topic, members in by_topic(result.theorem for result in run.results).items():
        lines.append(rf"\multicolumn{{4}}{{@{{}}l}}{{\emph{{{escaped(topic)}}}}} \\*")
        lines += [_row(results[theorem.id]) for theorem in members]
        lines.append(r"\addlinespace")
    head = HEAD.format(command=" ".join(command.split()), caption=escaped(counts))
    return head + "\n".join(lines[:-1]) + "\n\\end{longtable}\n"


def escaped(text: str) -> str:
    """Plain text for LaTeX."""
    return "".join(ESCAPED.get(character, character) for character in text)


def _row(result: TheoremResult) -> str:
    kind = finding(result)
    said = FINDINGS.get(kind, str(kind))
    ratio = ratio_text(result.max_ratio).replace("–", "--").replace("−", "$-$")
    name = escaped(result.theorem.id).replace(r"\_", r"\_\allowbreak ")
    return rf"\texttt{{{name}}} & {escaped(result.theorem.title)} & {escaped(said)} & {ratio} \\"
