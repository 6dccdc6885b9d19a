"""What a healthy server answers, and what is wrong with how requests ended."""

from collections.abc import Iterable, Iterator

from tests.chaos.requests import Ask
from tests.chaos.traffic import Outcome, Reply, send_all

LEARN_BOUND_S = 120.0


class Oracle:
    """The right answers, learned from a healthy server."""

    def __init__(self) -> None:
        self._replies: dict[Ask, Reply] = {}

    def learn(self, address: str, asks: Iterable[Ask]) -> list[Ask]:
        """Ask each once, alone; those that can be used, because no other has the same answer.

        Raises AssertionError when one isn't answered.
        """
        usable = []
        for ask in asks:
            (outcome,) = send_all(address, [ask], LEARN_BOUND_S)
            assert outcome.end == "answer", f"{ask.model}: {outcome.end} {outcome.error}"
            if not self._owner(outcome.reply, ask):
                usable.append(ask)
                self._replies[ask] = outcome.reply
        return usable

    def _owner(self, reply: Reply, not_of: Ask) -> Ask | None:
        """Another request to the same entry that has this answer."""
        return next(
            (
                ask
                for ask, known in self._replies.items()
                if ask.model == not_of.model
                and ask.tensors[0] != not_of.tensors[0]
                and known.equals(reply)
            ),
            None,
        )

    def knows(self, ask: Ask) -> bool:
        """Whether its answer was learned."""
        return ask in self._replies

    def is_right(self, outcome: Outcome) -> bool:
        """Whether the request was answered, and as on a healthy server."""
        return outcome.end == "answer" and outcome.reply.equals(self._replies[outcome.ask])

    def faults(self, outcomes: Iterable[Outcome]) -> Iterator[str]:
        """What no fault of the server excuses: no end, two ends, a wrong or another's answer."""
        for outcome in outcomes:
            if outcome.end in ("hung", "faulty"):
                yield f"{outcome.ask.model}: {outcome.end} ({outcome.error})"
            elif not self.knows(outcome.ask):
                continue  # judged by the scenario that made it up
            elif outcome.end == "answer" and not self.is_right(outcome):
                yield f"{outcome.ask.model}: {self._wrong(outcome)}"
            elif not self._replies[outcome.ask].text.startswith(outcome.reply.text):
                yield f"{outcome.ask.model}: the part before the error is not of its answer"

    def _wrong(self, outcome: Outcome) -> str:
        owner = self._owner(outcome.reply, outcome.ask)
        return "another request's answer" if owner else "an answer that is not the healthy one's"
