"""Two machines push counts of a unit without revisions, are killed, and start again: against a model of the door."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.count_files.parts import Part
from gateway.count_files.revisions import Known, number
from gateway.count_files.versions import Contradiction, meaning, merge
from gateway.election.rfc3339 import read_time
from tests.count_files.count_parts import a_part, figures
from tests.counts import examples


class ModelDoor:
    """Decides about reports of one unit as section 3 of the contract has it."""

    def __init__(self) -> None:
        self.accepted: list[Known] = []

    @property
    def current(self) -> Known | None:
        return self.accepted[-1] if self.accepted else None

    def push(self, report: Known) -> str:
        known = next((each for each in self.accepted if each.revision == report.revision), None)
        if known is not None:
            return "duplicate" if known.document == report.document else "revision_conflict"
        if self.current is not None and report.revision < self.current.revision:
            return "stale_revision"
        self.accepted.append(report)
        return "accepted"


class ModelMachine:
    """A machine with its outbox. It may be killed after any number of steps of a command."""

    def __init__(self, door: ModelDoor) -> None:
        self._door = door
        self.outbox: dict[int, Known] = {}
        self._answers: dict[int, str] = {}

    def run(self, part: Part, steps: int) -> bool:
        """Push one count, for so many steps; return whether it has a receipt."""
        for _ in range(3):
            candidates = [
                known
                for revision, known in self.outbox.items()
                if self._answers.get(revision) not in ("stale_revision", "revision_conflict")
            ]
            try:
                (numbered,) = number(merge([part])[0], self._door.current, candidates)
            except Contradiction:
                return False
            steps -= 1
            if steps < 0:
                return False
            self.outbox[numbered.revision] = Known(numbered.revision, numbered.document)
            self._answers.pop(numbered.revision, None)
            for revision in list(self.outbox):
                if revision in self._answers:
                    continue
                if steps <= 0:
                    return False
                answer = self._door.push(self.outbox[revision])
                if steps > 1:
                    self._answers[revision] = answer
                steps -= 2
            if self._answers.get(numbered.revision) in ("accepted", "duplicate"):
                return True
        return False

    def lose_outbox(self) -> None:
        self.outbox.clear()
        self._answers.clear()


def a_count(minute: int, ballots: int) -> Part:
    return a_part(minute=minute, counts={"advance": figures(ballots)})


counts = st.builds(a_count, st.integers(1, 5), st.integers(1, 2))
acts: Any = st.lists(
    st.tuples(st.integers(0, 1), counts, st.sampled_from([0, 1, 2, 3, 4, 99, 99, 99])) | st.integers(0, 1),
    max_size=8,
)


@settings(max_examples=examples(2000), deadline=None)
@given(acts)
def test_each_count_is_published_once_and_none_after_a_later_one(acted: list[Any]) -> None:
    """Whatever is killed or lost, and whichever machine pushes; a count with a receipt is in the record."""
    door = ModelDoor()
    machines = [ModelMachine(door), ModelMachine(door)]
    for act in acted:
        if isinstance(act, int):
            machines[act].lose_outbox()
            continue
        place, count, steps = act
        has_receipt = machines[place].run(count, steps)
        (version,) = merge([count])[0]
        assert not has_receipt or any(
            meaning(each.document) == meaning(version.document) for each in door.accepted
        )
        times = [read_time(each.document["counted_at"]) for each in door.accepted]
        assert times == sorted(set(times))
        published = len(door.accepted)
        assert not has_receipt or machines[place].run(count, 99)
        assert not has_receipt or len(door.accepted) == published
