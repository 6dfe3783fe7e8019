"""What a service's `contract/` folder says: its topics, and the schemas of what is on them."""

import json
import pathlib
from dataclasses import dataclass, field

import jsonschema
import yaml

FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER


def validator(schema: dict) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=FORMATS)


@dataclass(frozen=True)
class Message:
    name: str
    schema_id: str
    headers: jsonschema.Draft202012Validator
    payload: jsonschema.Draft202012Validator


@dataclass
class Topic:
    name: str
    # Unknown to whoever only receives from it.
    partitions: int | None = None
    # `/<system>/<service>/`, with which the source of everything on it begins.
    publisher: str | None = None
    messages: dict[str, Message] = field(default_factory=dict)


class Contract:
    """Several services' contracts as one."""

    def __init__(self, folders: list[pathlib.Path]):
        self.topics: dict[str, Topic] = {}
        for folder in folders:
            self._read(folder)

    def _read(self, folder: pathlib.Path) -> None:
        document = yaml.safe_load((folder / "asyncapi.yaml").read_text(encoding="utf-8"))
        for channel in document["channels"].values():
            kafka = channel["bindings"]["kafka"]
            topic = self.topics.setdefault(kafka["topic"], Topic(kafka["topic"]))
            topic.partitions = kafka.get("partitions", topic.partitions)
            for reference in channel["messages"].values():
                message = self._message(folder, document, resolve(document, reference))
                topic.messages[message.name] = message
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        for published in index["topics"]:
            self.topics[published["name"]].publisher = f"/{index['system']}/{index['service']}/"
        for taken in index.get("commands", []):
            self.topics[taken["name"]].publisher = f"/{index['system']}/{taken['sender']}/"
            for name in index["on_every_topic"]:
                # Whoever sends commands has a store, too, whose history may be left.
                of_every = {"$ref": f"#/components/messages/{name}"}
                self.topics[taken["name"]].messages[name] = self._message(folder, document, resolve(document, of_every))

    def _message(self, folder: pathlib.Path, document: dict, message: dict) -> Message:
        schema = json.loads((folder / message["payload"]["$ref"]).read_text(encoding="utf-8"))
        headers = validator(resolve(document, message["headers"]))
        return Message(message["name"], schema["$id"], headers, validator(schema))


def resolve(document: dict, value: dict) -> dict:
    """What a reference within the document leads to; the value itself when it is none."""
    while "$ref" in value:
        found = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
        value = found
    return value
