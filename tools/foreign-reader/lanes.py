"""Order, re-sends and gaps: what a reader does with the headers of a partition's records.

A lane is what one store publishes on one partition. Of each, a reader keeps the highest `ce_sequence` that it has dealt
with, its watermark. A record counts when `ce_previous` ≤ watermark < `ce_sequence`. What is not above the watermark was
sent again, and is passed over. A `ce_previous` above it tells of a gap: nothing counts until what is missing was sent
again.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

HISTORY_LEFT = "factum.history-left.v1"
ENDLESS = math.inf


@dataclass(frozen=True)
class Record:
    """A record that is a message, with what its headers say."""

    topic: str
    partition: int
    offset: int
    id: str
    key: str
    # As on the wire, to compare what was sent again.
    raw: tuple
    name: str
    source: str
    sequence: int
    previous: int
    # Of each ancestor of the source's incarnation, the position at which it was left.
    lineage: dict[str, int]
    stream: str
    stream_version: int
    data: dict

    @property
    def store(self) -> str:
        return self.source.rsplit("/", 1)[0]

    @property
    def incarnation(self) -> str:
        return self.source.rsplit("/", 1)[1]

    def repeats(self, earlier: "Record | None") -> bool:
        """Whether it is an earlier record, sent again: byte for byte, unless the store was restored in between."""
        if earlier is None or earlier.id != self.id:
            return False
        return earlier.source != self.source or earlier.raw == self.raw

    def __str__(self) -> str:
        return f"{self.name} at {self.topic}/{self.partition}:{self.offset}"


@dataclass
class Lane:
    watermark: int = 0
    gap: str | None = None
    seen: dict[int, Record] = field(default_factory=dict)


def in_order(partition: Iterable[Record], complaints: list[str], resent: list[Record]) -> Iterator[Record]:
    """What of a partition's records counts, once and in order. Gaps that stay open are complained about."""
    partition = list(partition)
    # Of a store that was restored, how far each history is still so: the newest without end, its ancestors up to the fork.
    histories = {record.store: record.lineage | {record.incarnation: ENDLESS} for record in partition}
    lanes: dict[str, Lane] = {}
    for record in partition:
        history = histories[record.store].get(record.incarnation)
        if history is None:
            complaints.append(f"{record} is of a history that the newest one does not come from")
        if history is None or record.sequence > history:
            continue
        lane = lanes.setdefault(record.store, Lane())
        if record.sequence <= lane.watermark and record.name != HISTORY_LEFT:
            resent.append(record)
            if not record.repeats(lane.seen.get(record.sequence)):
                complaints.append(f"{record} was sent again, and is not what it was")
        elif record.previous > lane.watermark:
            lane.gap = lane.gap or f"messages are missing before {record}: nothing after {lane.watermark} counts"
        else:
            lane.watermark, lane.gap = max(lane.watermark, record.sequence), None
            if record.name != HISTORY_LEFT:
                lane.seen[record.sequence] = record
                yield record
    complaints.extend(lane.gap for lane in lanes.values() if lane.gap)
