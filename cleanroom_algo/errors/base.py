"""The base of all errors: a code, what happened, what was expected, how to fix it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from cleanroom_algo.errors.exit_codes import ExitCode


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of an input.

    Attributes:
        path: where: a JSON path (`dataChannels[1].channelName`) or `object:line:column`.
        message: what is wrong there; never a row value, a hyperparameter value or a secret.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class CleanroomError(Exception):
    """The base class: it catches every error of the project.

    Attributes:
        code: of the error.
        title: what happened, in few words.
        exit_code: of the process that it ends.
        status_code: `statusDetails.statusCode` of the job that it ends; its code if empty.
    """

    code: ClassVar[str] = "CR-000"
    status_code: ClassVar[str] = ""
    title: ClassVar[str] = "error"
    exit_code: ClassVar[ExitCode] = ExitCode.ALGORITHM_FAILED

    def __init__(self, what: str, *, expected: str, fix: str, problems: Sequence[Problem] = ()) -> None:
        """Create an error.

        Args:
            what: what happened, in which place.
            expected: what would have been right.
            fix: what the reader can do now.
            problems: all faults of one input, in its order.
        """
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.fix = fix
        self.problems = tuple(problems)

    def __str__(self) -> str:
        """Return the error as text: problem and fix in the first two lines, then the explanation."""
        what, *more = self.what.splitlines() or [""]
        lines = [f"{self.code}  {what}", f"  fix       {self.fix}"]
        lines += [f"            {line}" for line in more]
        lines += [f"{'  where     ' if number == 0 else ' ' * 12}{each}" for number, each in enumerate(self.problems)]
        lines.append(f"  expected  {self.expected}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are pickled by their positional arguments only; ranks send errors to their launcher.
        return _rebuild, (type(self), self.what, self.expected, self.fix, self.problems)

    def to_dict(self) -> dict[str, object]:
        """Return the error as JSON values: code, title, what, expected, fix, problems."""
        return {
            "code": self.code,
            "title": self.title,
            "what": self.what,
            "expected": self.expected,
            "fix": self.fix,
            "problems": [{"path": p.path, "message": p.message} for p in self.problems],
        }


def _rebuild(
    kind: type[CleanroomError], what: str, expected: str, fix: str, problems: tuple[Problem, ...]
) -> CleanroomError:
    return kind(what, expected=expected, fix=fix, problems=problems)


def all_errors() -> dict[str, type[CleanroomError]]:
    """Return every concrete error by its code, in the order of the codes."""

    def walk(kind: type[CleanroomError]) -> Iterator[type[CleanroomError]]:
        for child in kind.__subclasses__():
            yield child
            yield from walk(child)

    concrete = {kind.code: kind for kind in walk(CleanroomError) if "code" in vars(kind)}
    return dict(sorted(concrete.items()))
