"""The bank's balances, added up from what the messages' descriptions say of them."""

from lanes import Record

OPENED = "bank.accounts.account-opened.v1"
CLOSED = "bank.accounts.account-closed.v1"
# What each does to the balance, and to what of it is available.
MOVES = {
    "bank.accounts.funds-deposited.v1": (1, 1),
    "bank.accounts.funds-withdrawn.v1": (-1, -1),
    "bank.accounts.funds-held.v1": (0, -1),
    "bank.accounts.account-credited.v1": (1, 1),
    "bank.accounts.hold-captured.v1": (-1, 0),
    "bank.accounts.hold-released.v1": (0, 1),
}
REQUESTED = "bank.transfers.transfer-requested.v1"
ENDS = {"bank.transfers.transfer-completed.v1": "completed", "bank.transfers.transfer-rejected.v1": "rejected"}


class Bank:
    def __init__(self) -> None:
        self.accounts: dict[str, dict] = {}
        self.transfers: dict[str, dict] = {}
        self._versions: dict[tuple[str, str, str], int] = {}

    def apply(self, record: Record, complaints: list[str]) -> None:
        # Order is per key: a command's is not its own stream, but the account it is for.
        place = (record.topic, record.key, record.stream)
        last = self._versions.get(place, 0)
        if record.stream_version <= last:
            complaints.append(f"{record} is version {record.stream_version} of {record.stream}, after {last}")
        self._versions[place] = record.stream_version
        data = record.data
        if record.name == OPENED:
            self.accounts[data["account_id"]] = {
                "holder": data["holder"], "currency": data["currency"], "status": "open",
                "balance_minor": 0, "available_minor": 0,
            }  # fmt: skip
        elif record.name == CLOSED:
            self.accounts[data["account_id"]]["status"] = "closed"
        elif record.name in MOVES:
            self._move(record, complaints)
        elif record.name == REQUESTED:
            self.transfers[data["transfer_id"]] = {**data, "status": "pending"}
        elif record.name in ENDS:
            self.transfers[data["transfer_id"]].update(data, status=ENDS[record.name])

    def _move(self, record: Record, complaints: list[str]) -> None:
        data = record.data
        account = self.accounts.get(data["account_id"])
        if account is None:
            complaints.append(f"{record} is about an account that nobody opened")
            return
        for name, sign in zip(("balance_minor", "available_minor"), MOVES[record.name], strict=True):
            account[name] += sign * data["amount_minor"]
            if account[name] != data.get(name, account["balance_minor"]):
                complaints.append(f"{record} says {name} {data[name]}, and added up it is {account[name]}")
        if account["currency"] != data["currency"]:
            complaints.append(f"{record} is in {data['currency']}")
