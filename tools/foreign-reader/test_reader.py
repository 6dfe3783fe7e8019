"""The reader finds what is not as a contract says, and passes over what was sent again. The services' own contracts, and
records made by hand: no Kafka is needed."""

import json
import pathlib
import shutil
import tempfile
import unittest
import uuid

from contract import Contract
from lanes import HISTORY_LEFT
from reader import fold

SERVICES = pathlib.Path(__file__).parents[2] / "services"
CONTRACT = Contract([SERVICES / name / "contract" for name in ("accounts", "transfers")])
TOPIC = CONTRACT.topics["bank.accounts.account.events"]
ACCOUNT = "6f1a7c1e-0000-4000-8000-000000000001"
STREAM = f"account-{ACCOUNT}"
STORE, FIRST, SECOND = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
CORRELATION = uuid.UUID(int=7)


def record(sequence, previous, kind, value, incarnation=FIRST, offset=0, partition=3, **changed):
    """As a relay writes it; `changed` replaces headers (`None`: takes away), or `key`."""
    name = kind if kind.startswith("factum.") else f"bank.accounts.{kind}.v1"
    headers = {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": str(uuid.UUID(int=1000 + sequence)),
        "ce_source": f"/bank/accounts/{STORE}/{incarnation}",
        "ce_type": name,
        "ce_subject": STREAM,
        "ce_time": "2026-11-24T10:00:00.000Z",
        "ce_partitionkey": STREAM,
        "ce_sequence": f"{sequence:020}",
        "ce_previous": str(previous),
        "ce_streamversion": str(sequence),
        "ce_correlationid": str(CORRELATION),
        "ce_actor": "ada",
        "ce_dataschema": f"urn:factum:message:{name}",
        "traceparent": f"00-{CORRELATION.hex}-{1000 + sequence:016x}-01",
    }
    key = changed.pop("key", STREAM)
    headers.update({name.replace("content_type", "content-type"): text for name, text in changed.items()})
    headers = [(name, text.encode()) for name, text in headers.items() if text is not None]
    return TOPIC, (partition, offset), key.encode(), headers, json.dumps(value).encode()


def opened(sequence=1, previous=0, **changed):
    value = {"account_id": ACCOUNT, "holder": "Ada", "currency": "EUR"}
    return record(sequence, previous, "account-opened", value, **changed)


def deposited(sequence, previous, balance, **changed):
    value = {"account_id": ACCOUNT, "amount_minor": 100, "currency": "EUR", "balance_minor": balance}
    return record(sequence, previous, "funds-deposited", value, **changed)


def told(*records):
    complaints = []
    return fold(records, complaints), complaints


class Balances(unittest.TestCase):
    def test_what_was_sent_again_counts_once(self):
        first = [opened(), deposited(2, 1, 100), deposited(5, 2, 200)]
        result, complaints = told(*first, *first, deposited(6, 5, 300))
        self.assertEqual(complaints, [])
        self.assertEqual((result["accounts"][ACCOUNT]["balance_minor"], result["resent"]), (300, 3))

    def test_what_was_sent_again_is_what_it_was(self):
        for again in (deposited(2, 1, 100, ce_actor="bob"), deposited(2, 0, 100), deposited(2, 1, 101)):
            _, complaints = told(opened(), deposited(2, 1, 100), again)
            self.assertRegex("".join(complaints), "was sent again, and is not what it was")

    def test_nothing_counts_after_a_gap_until_it_is_filled(self):
        beyond = deposited(5, 2, 200)
        result, complaints = told(opened(), beyond)
        self.assertRegex("".join(complaints), "messages are missing before .*: nothing after 1 counts")
        self.assertEqual(result["accounts"][ACCOUNT]["balance_minor"], 0)
        result, complaints = told(opened(), beyond, deposited(2, 1, 100), beyond)
        self.assertEqual((result["accounts"][ACCOUNT]["balance_minor"], complaints), (200, []))

    def test_what_a_restored_store_forgot_does_not_count(self):
        lineage = {"ce_lineage": f"{FIRST}:2", "incarnation": SECOND}
        left = record(2, 2, HISTORY_LEFT, {}, ce_id=str(uuid.UUID(int=9)), key="history-1",
                      ce_partitionkey="history-1", **lineage)  # fmt: skip
        result, complaints = told(
            opened(), deposited(2, 1, 100), deposited(3, 2, 200), deposited(4, 3, 300),
            left, deposited(3, 2, 200, ce_id=str(uuid.UUID(int=8)), **lineage),
        )  # fmt: skip
        self.assertEqual((result["accounts"][ACCOUNT]["balance_minor"], complaints), (200, []))
        _, complaints = told(opened(), deposited(2, 1, 100), deposited(3, 2, 200, incarnation=SECOND))
        self.assertRegex("".join(complaints), "of a history that the newest one does not come from")

    def test_a_balance_that_does_not_add_up_is_told(self):
        _, complaints = told(opened(), deposited(2, 1, 150))
        self.assertRegex("".join(complaints), "says balance_minor 150, and added up it is 100")

    def test_an_amount_that_is_not_what_was_moved_is_told_wherever_it_leads(self):
        held = {"account_id": ACCOUNT, "transfer_id": ACCOUNT, "amount_minor": 30, "currency": "EUR",
                "balance_minor": 100, "available_minor": 71}  # fmt: skip
        _, complaints = told(opened(), deposited(2, 1, 100), record(3, 2, "funds-held", held))
        self.assertRegex("".join(complaints), "says available_minor 71, and added up it is 70")
        # A deposit from before there were holds says nothing of what is available: it is the balance.
        held["available_minor"] = 70
        _, complaints = told(opened(), deposited(2, 1, 100), record(3, 2, "funds-held", held), deposited(4, 3, 200))
        self.assertRegex("".join(complaints), "says available_minor 200, and added up it is 170")
        value = {"account_id": ACCOUNT, "amount_minor": 100, "currency": "JPY", "balance_minor": 100}
        _, complaints = told(opened(), record(2, 1, "funds-deposited", value))
        self.assertRegex("".join(complaints), "is in JPY, and its account in EUR")

    def test_what_is_about_nothing_is_told_and_the_rest_is_read(self):
        _, complaints = told(deposited(1, 0, 100), record(2, 1, "account-closed", {"account_id": ACCOUNT}))
        self.assertEqual([complaint.rsplit(" is ", 1)[1] for complaint in complaints],
                         ["about an account that nobody opened"] * 2)  # fmt: skip

    def test_a_version_of_a_stream_comes_once(self):
        _, complaints = told(opened(), deposited(2, 1, 100, ce_streamversion="1"))
        self.assertRegex("".join(complaints), "is version 1 of account-.*, after 1")


class Contracts(unittest.TestCase):
    def test_what_is_not_as_the_contract_says_is_told(self):
        trace = f"00-{uuid.UUID(int=8).hex}-{1:016x}-01"
        for broken, finding in (
            (opened(ce_actor=None), "the headers .*'ce_actor' is a required property"),
            (opened(ce_sequence="1"), "the headers .*'1' does not match"),
            (opened(ce_time="today"), "the headers .*'today' is not a 'date-time'"),
            (opened(content_type="text/plain"), "the headers .*'application/json' was expected"),
            (opened(ce_type="bank.accounts.account-renamed.v1"), "account-renamed.v1, of which the contract knows nothing"),
            (opened(ce_type="bank.accounts.hold-funds.v1"), "hold-funds.v1, of which the contract knows nothing"),
            (opened(ce_source=f"/bank/transfers/{STORE}/{FIRST}"), "/bank/accounts/ publishes there"),
            (opened(ce_dataschema="urn:factum:message:other"), "the schema is urn:factum:message:bank"),
            (opened(traceparent=trace), "its trace is not its correlation"),
            (opened(key="account-other"), "the key is not its partition key"),
            (record(1, 0, "account-opened", {"account_id": ACCOUNT}), "'holder' is a required property"),
            (record(1, 0, "account-closed", {"account_id": "one"}), "'one' is not a 'uuid'"),
        ):
            result, complaints = told(broken)
            self.assertEqual(len(complaints), 1, (finding, complaints))
            self.assertRegex(complaints[0], finding)
            self.assertEqual(result["records"], 0)

    def test_every_header_that_must_be_there_is_missed(self):
        for name in (
            "content-type", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_partitionkey",
            "ce_sequence", "ce_previous", "ce_streamversion", "ce_correlationid", "ce_actor", "ce_dataschema", "traceparent",
        ):  # fmt: skip
            result, complaints = told(opened(**{name.replace("-", "_"): None}))
            self.assertEqual((len(complaints), result["records"]), (1, 0), name)
            self.assertRegex(complaints[0], f"'{name}'|is a None, of which the contract knows nothing there")

    def test_a_header_twice_is_told(self):
        topic, place, key, headers, value = opened()
        _, complaints = told((topic, place, key, [*headers, headers[2]], value))
        self.assertRegex("".join(complaints), "has a header twice")

    def test_a_schema_with_another_field_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "contract"
            shutil.copytree(SERVICES / "accounts" / "contract", copy)
            path = copy / "schemas" / "bank.accounts.account-opened.v1.json"
            schema = json.loads(path.read_text(encoding="utf-8"))
            schema["properties"]["owner"] = schema["properties"].pop("holder")
            schema["required"] = ["account_id", "owner", "currency"]
            path.write_text(json.dumps(schema), encoding="utf-8")
            topic = Contract([copy]).topics[TOPIC.name]
        _, *rest = opened()
        _, complaints = told((topic, *rest))
        self.assertEqual(len(complaints), 1)
        self.assertRegex(complaints[0], "account-opened.v1: the value .*'owner' is a required property")

    def test_a_key_is_on_one_partition(self):
        _, complaints = told(opened(), deposited(2, 1, 100, partition=4))
        self.assertRegex("".join(complaints), "is on another partition")

    def test_every_sample_is_what_its_schema_says(self):
        for service in ("accounts", "transfers"):
            for sample in (SERVICES / service / "contract" / "samples").glob("*/*.json"):
                known = [topic.messages.get(sample.parent.name) for topic in CONTRACT.topics.values()]
                message = next(message for message in known if message)
                message.payload.validate(json.loads(sample.read_text(encoding="utf-8")))


if __name__ == "__main__":
    unittest.main()
