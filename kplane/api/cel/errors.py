"""What can go wrong: at compile time a list of issues, printed as cel-go prints them; at run time one error.

Invariant: compiling raises nothing but CelError, evaluating nothing but EvaluationError and BudgetExceeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_ISSUES = 100


@dataclass(frozen=True, slots=True)
class Issue:
    """One fault of a source text, at a character offset."""

    offset: int
    message: str

    def show(self, source: str) -> str:
        """`ERROR: <input>:line:column: message`, the line, and a caret below the character."""
        before = source[: self.offset]
        line, column = before.count("\n"), self.offset - (before.rfind("\n") + 1)
        text = (source.split("\n", line + 1)[line] if source else "").replace("\t", " ")
        # Full-width marks stand below characters of more than one byte, as upstream's do.
        dots = "".join("." if ord(char) < 128 else "．" for char in text[:column])
        caret = "＾" if column < len(text) and ord(text[column]) >= 128 else "^"
        return f"ERROR: <input>:{line + 1}:{column + 1}: {self.message}\n | {text}\n | {dots}{caret}"


class CelError(ValueError):
    """A source that does not compile. `str` is upstream's list of issues, without its `compilation failed: `.

    `wrong_result` says that the expression is sound, but yields a value of another type than was asked for.
    """

    def __init__(self, source: str, issues: Sequence[Issue], wrong_result: str = "") -> None:
        self.issues = tuple(sorted(issues, key=lambda issue: issue.offset))
        self.wrong_result = wrong_result
        shown = [issue.show(source) for issue in self.issues[:MOST_ISSUES]]
        if len(self.issues) > MOST_ISSUES:
            shown.append(f"{len(self.issues) - MOST_ISSUES} more errors were truncated")
        super().__init__(wrong_result or "\n".join(shown))


class EvaluationError(ValueError):
    """An expression has no value for these bindings; `&&`, `||`, `all` and `exists` can absorb it."""


class BudgetExceeded(RuntimeError):
    """The evaluation cost more than it may. Never absorbed by an operator.

    `per_call`: the limit of one evaluation was hit; else the budget that it shares with others ran out.
    """

    def __init__(self, *, per_call: bool = True) -> None:
        self.per_call = per_call
        super().__init__("operation cancelled: actual cost limit exceeded")
