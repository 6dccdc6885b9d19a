"""What a healthy server answers, and what is wrong with how requests ended."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.chaos.requests import Request
from tests.chaos.traffic import Line, Outcome, Reply

LEARN_BOUND_S = 120.0


class Oracle:
    """The right answers, learned from a healthy server."""

    def __init__(self) -> None:
        self._replies: dict[Request, Reply] = {}

    def learn(
        self, address: str, to_send: Iterable[Request], line: Callable[[str], Any] = Line
    ) -> list[Request]:
        """Request each once, alone; those that can be used, because no other has the same answer.

        `line` opens a connection to the address. Raises AssertionError when one isn't answered.
        """
        usable = []
        for request in to_send:
            with line(address) as opened:
                outcome = opened.send(request, LEARN_BOUND_S)
            assert outcome.end == "answer", f"{request.model}: {outcome.end} {outcome.error}"
            if not self._owner(outcome.reply, request):
                usable.append(request)
                self._replies[request] = outcome.reply
        return usable

    def _owner(self, reply: Reply, not_of: Request) -> Request | None:
        """Another request to the same entry that has this answer."""
        return next(
            (
                request
                for request, known in self._replies.items()
                if request.model == not_of.model
                and request.tensors[0] != not_of.tensors[0]
                and known.equals(reply)
            ),
            None,
        )

    def knows(self, request: Request) -> bool:
        """Whether its answer was learned."""
        return request in self._replies

    def is_right(self, outcome: Outcome) -> bool:
        """Whether the request was answered, and as on a healthy server."""
        return outcome.end == "answer" and outcome.reply.equals(self._replies[outcome.request])

    def faults(self, outcomes: Iterable[Outcome]) -> Iterator[str]:
        """What no fault of the server excuses: no end, two ends, a wrong or another's answer."""
        for outcome in outcomes:
            if outcome.end in ("hung", "faulty"):
                yield f"{outcome.request.model}: {outcome.end} ({outcome.error})"
            elif not self.knows(outcome.request):
                continue  # judged by the scenario that made it up
            elif outcome.end == "answer" and not self.is_right(outcome):
                yield f"{outcome.request.model}: {self._wrong(outcome)}"
            elif not self._replies[outcome.request].text.startswith(outcome.reply.text):
                yield f"{outcome.request.model}: the part before the error is not of its answer"

    def _wrong(self, outcome: Outcome) -> str:
        owner = self._owner(outcome.reply, outcome.request)
        return "another request's answer" if owner else "an answer that is not the healthy one's"
