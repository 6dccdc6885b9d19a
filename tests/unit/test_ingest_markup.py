"""Readers of AsciiDoc, Org and LaTeX: words without marks, in sections at their headings."""

import pytest
from triton_rag.ingestion.file_text import FileText, Unreadable
from triton_rag.ingestion.readers import read


def paths(found: FileText) -> list[tuple[str, ...]]:
    return [section.headings for section in found.sections]


ASCIIDOC = """= The {ferry}
:ferry: Vebra
// a remark

[[times]]
== Times of {ferry}

It *sails* _daily_, see <<prices,the prices>>, link:map.html[the map],
https://a.example[its page], https://b.example[], man:tar[1] and `+a*b*c+` or `x*y*z`.
footnote:[Not in May.]

[NOTE]
====
Bring an oar.
====

.A caption
[source,sh]
----
== not a title
# *kept*
----

-a::
  Takes all.
+
include::other.adoc[]

////
hidden
////

Prices
------
|===
|Boat |9
|===
"""


def test_asciidoc() -> None:
    found = read("ferry.adoc", ASCIIDOC.encode())
    top = "The Vebra"
    assert found.title == top
    assert paths(found) == [(top,), (top, "Times of Vebra"), (top, "Prices")]
    assert [line.strip() for line in found.text.split("\n") if line.strip()] == [
        *("The Vebra", "Times of Vebra"),
        "It sails daily, see the prices, the map,",
        "its page, https://b.example, tar(1) and `a*b*c` or `x*y*z`.",
        *("(Not in May.)", "NOTE:", "Bring an oar.", "A caption", "== not a title", "# *kept*"),
        *("-a:", "Takes all.", "Prices", "|Boat |9"),
    ]


ORG = """#+TITLE: The ferry
#+OPTIONS: toc:nil
* TODO Times :sea:
  :PROPERTIES:
  :CUSTOM_ID: times
  :END:
It *sails* /daily/ from ~/tmp/dock/ with =a= and ~b~, see [[https://a.example][its
page]] and [[file:map.org]]. 2 * 3 * 4.
# a remark
#+begin_src sh
[[ -f a ]] && echo *b*
* no heading
#+end_src
#+begin_comment
hidden
#+end_comment
** Prices
#+CAPTION: All prices
| Boat | 9 |
"""


def test_org() -> None:
    found = read("ferry.org", ORG.encode())
    assert found.title == "The ferry"
    assert paths(found) == [(), ("TODO Times",), ("TODO Times", "Prices")]
    assert [line for line in found.text.split("\n") if line] == [
        *("The ferry", "TODO Times"),
        "It sails daily from ~/tmp/dock/ with `a` and `b`, see its",
        *("page and map.org. 2 * 3 * 4.", "[[ -f a ]] && echo *b*", "* no heading"),
        *("Prices", "All prices", "| Boat | 9 |"),
    ]


LATEX = r"""\documentclass[a4paper]{article}
\newcommand{\boat}[1]{\emph{#1}}
\title{The \emph{ferry}}
\begin{document}
\maketitle
\section[Short]{Times of \texttt{Vebra}}\label{sec:times}
It \textbf{sails \emph{daily}}~at 5\,\% more\footnote{Not in May.} --- ``always''. % a remark
% another remark
\subsection*{Prices}
\begin{itemize}
\item[Boat] costs $\frac{9}{2}$ or \$4 at C:\textbackslash{}x.
\item two
\end{itemize}
\begin{tabular}{|l|l|}
Boat & 9 \\
\end{tabular}
\begin{verbatim}
\section{none} % kept
\end{verbatim}
\end{document}
ignored
"""


def test_latex() -> None:
    found = read("ferry.tex", LATEX.encode())
    assert found.title == "The ferry"
    assert paths(found) == [("Times of Vebra",), ("Times of Vebra", "Prices")]
    assert [line.strip() for line in found.text.split("\n") if line.strip()] == [
        *("Times of Vebra", "It sails daily at 5 % more (Not in May.) — “always”."),
        *("Prices", r"- Boat: costs $\frac{9}{2}$ or $4 at C:\x.", "- two", "Boat & 9"),
        r"\section{none} % kept",
    ]


def test_latex_that_only_names_other_files_has_no_text() -> None:
    with pytest.raises(Unreadable, match="no text in it"):
        read("main.tex", rb"\documentclass{book}\begin{document}\input{one}\end{document}")


@pytest.mark.parametrize(
    "text", ["[" * 20000, "*a " * 9000, "a:b[" * 9000, "{\\a" * 9000, "\\[" * 9000]
)
@pytest.mark.parametrize("suffix", [".adoc", ".org", ".tex"])
def test_marks_that_are_never_closed_are_read_at_once(suffix: str, text: str) -> None:
    assert "end" in read(f"a{suffix}", f"{text}\n\nend".encode()).text
