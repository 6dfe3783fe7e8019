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
        elif record.name == REQUESTED:
            self.transfers[data["transfer_id"]] = {**data, "status": "pending"}
        elif record.name in ENDS:
            transfer = self.transfers.get(data["transfer_id"])
            if transfer is None:
                complaints.append(f"{record} is about a transfer that nobody requested")
            else:
                transfer.update(data, status=ENDS[record.name])
        elif record.name == CLOSED or record.name in MOVES:
            account = self.accounts.get(data["account_id"])
            if account is None:
                complaints.append(f"{record} is about an account that nobody opened")
            elif record.name == CLOSED:
                account["status"] = "closed"
            else:
                move(account, record, complaints)


def move(account: dict, record: Record, complaints: list[str]) -> None:
    """Adds to an account what a record says, and looks whether that comes to what the record says of it."""
    data = record.data
    for name, sign in zip(("balance_minor", "available_minor"), MOVES[record.name], strict=True):
        account[name] += sign * data["amount_minor"]
        # From before there were holds: all of the balance is available.
        said = data.get(name, data["balance_minor"])
        if account[name] != said:
            complaints.append(f"{record} says {name} {said}, and added up it is {account[name]}")
    if account["currency"] != data["currency"]:
        complaints.append(f"{record} is in {data['currency']}, and its account in {account['currency']}")
