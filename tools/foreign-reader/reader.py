"""Reads all that a system's services have published on Kafka, knowing nothing of them but their `contract/` folders.

    python reader.py --kafka HOST:PORT [--topic-prefix PREFIX] CONTRACT...

Each record is held against its contract: its headers, its JSON Schema, its key, its place. What then counts is added up
to the balances of accounts and the state of transfers, which are printed as JSON. Exit status 1: something is not as the
contract says, and standard error names it. It reads up to the end as it is when it gets there, and ends.
"""

import argparse
import json
import pathlib
import re
import sys
import time
from collections import Counter, defaultdict

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from bank import Bank
from contract import Contract, Topic
from lanes import HISTORY_LEFT, Record, in_order

READ_S_MAX = 60
REQUEST_S_MAX = 20
BATCH_RECORDS_MAX = 1000
COMPLAINTS_SHOWN_MAX = 20
TRACE_PARENT = re.compile(r"00-([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class NotOfTheContract(Exception):
    pass


def held_to(validator, judged, what: str) -> None:
    for error in validator.iter_errors(judged):
        raise NotOfTheContract(f"{what} {error.json_path}: {error.message}")


def record_of(topic: Topic, place: tuple[int, int], key: bytes | None, headers: list, value: bytes) -> Record:
    """A record that is as the contract says; raises NotOfTheContract."""
    at = f"{topic.name}/{place[0]}:{place[1]}"
    names = [name for name, _ in headers]
    if len(set(names)) != len(names):
        raise NotOfTheContract(f"{at} has a header twice: {names}")
    if key is None:
        raise NotOfTheContract(f"{at} has no key")
    said = {name: text.decode("utf-8") for name, text in headers}
    message = topic.messages.get(said.get("ce_type"))
    if message is None:
        raise NotOfTheContract(f"{at} is a {said.get('ce_type')}, of which the contract knows nothing there")
    held_to(message.headers, said, f"{at}, {message.name}: the headers")
    event = from_kafka_event(KafkaMessage(headers=dict(headers), key=key, value=value))
    held_to(message.payload, event.get_data(), f"{at}, {message.name}: the value")
    trace = TRACE_PARENT.fullmatch(said["traceparent"])
    for holds, complaint in (
        (key.decode("utf-8") == said["ce_partitionkey"], "the key is not its partition key"),
        (event.get_dataschema() == message.schema_id, f"the schema is {message.schema_id}"),
        (topic.publisher and event.get_source().startswith(topic.publisher), f"{topic.publisher} publishes there"),
        (trace and trace[1] == said["ce_correlationid"].replace("-", ""), "its trace is not its correlation"),
    ):
        if not holds:
            raise NotOfTheContract(f"{at}, {message.name}: {complaint}: {said}")
    ancestors = (ancestor.split(":") for ancestor in said.get("ce_lineage", "").split(",") if ancestor)
    return Record(
        topic=topic.name,
        partition=place[0],
        offset=place[1],
        id=event.get_id(),
        key=said["ce_partitionkey"],
        raw=(key, tuple(headers), value),
        name=message.name,
        source=event.get_source(),
        sequence=int(said["ce_sequence"]),
        previous=int(said["ce_previous"]),
        lineage={incarnation: int(fork) for incarnation, fork in ancestors},
        stream=event.get_subject(),
        stream_version=int(said["ce_streamversion"]),
        data=event.get_data(),
    )


def read(kafka: str, prefix: str, contract: Contract):
    """Every record of every topic: the topic, where it is, its key, headers and value."""
    consumer = Consumer({
        "bootstrap.servers": kafka,
        # The client wants one; nobody joins it, and nothing is committed.
        "group.id": "foreign-reader",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
    })
    try:
        rest = set()
        for topic in contract.topics.values():
            found = consumer.list_topics(prefix + topic.name, timeout=REQUEST_S_MAX).topics[prefix + topic.name]
            if found.error is not None:
                raise NotOfTheContract(f"{topic.name}: {found.error}")
            if topic.partitions not in (None, len(found.partitions)):
                raise NotOfTheContract(f"{topic.name} has {len(found.partitions)} partitions, not {topic.partitions}")
            rest.update((topic.name, partition) for partition in found.partitions)
        consumer.assign([TopicPartition(prefix + name, partition, OFFSET_BEGINNING) for name, partition in rest])
        until = time.monotonic() + READ_S_MAX
        while rest:
            if time.monotonic() > until:
                raise NotOfTheContract(f"not read within {READ_S_MAX} s: {sorted(rest)}")
            for message in consumer.consume(BATCH_RECORDS_MAX, timeout=1.0):
                name = (message.topic() or "").removeprefix(prefix)
                if message.error() is None:
                    place = (message.partition(), message.offset())
                    yield contract.topics[name], place, message.key(), message.headers() or [], message.value()
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    rest.discard((name, message.partition()))
                elif message.error().fatal() or not message.error().retriable():
                    raise NotOfTheContract(f"{name}/{message.partition()}: {message.error()}")
    finally:
        consumer.close()


def fold(records, complaints: list[str]) -> dict:
    """What the records come to."""
    partitions, at = defaultdict(list), {}
    for topic, place, key, headers, value in records:
        try:
            record = record_of(topic, place, key, headers, value)
        # Whatever cannot be read is not of the contract.
        except Exception as error:
            complaints.append(f"{error}" if isinstance(error, NotOfTheContract) else f"{topic.name}/{place}: {error!r}")
            continue
        partitions[record.topic, record.partition].append(record)
        # What says that a history was left is about a partition, not about a key.
        if record.name != HISTORY_LEFT and at.setdefault((record.topic, record.key), record.partition) != record.partition:
            complaints.append(f"{record}: its key {record.key} is on another partition, too")
    bank, resent, messages = Bank(), [], Counter()
    for partition in sorted(partitions):
        for record in in_order(partitions[partition], complaints, resent):
            messages[record.name] += 1
            bank.apply(record, complaints)
    return {
        "records": sum(map(len, partitions.values())),
        "resent": len(resent),
        "messages": messages,
        "accounts": bank.accounts,
        "transfers": bank.transfers,
    }


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--kafka", required=True, metavar="HOST:PORT")
    arguments.add_argument("--topic-prefix", default="", metavar="PREFIX")
    arguments.add_argument("contracts", nargs="+", type=pathlib.Path, metavar="CONTRACT")
    given = arguments.parse_args()
    complaints: list[str] = []
    try:
        contract = Contract(given.contracts)
        result = fold(read(given.kafka, given.topic_prefix, contract), complaints)
        json.dump(result, sys.stdout)
    except NotOfTheContract as error:
        complaints.append(f"{error}")
    for complaint in complaints[:COMPLAINTS_SHOWN_MAX]:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
