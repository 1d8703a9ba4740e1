#!/usr/bin/env python3
"""Whether docs/asyncapi.json describes what is sent: messages of a running Annals, on topics and as server-sent events, are compared with it;
and whether it has a channel for each route of docs/openapi.json that sends messages, and no other.

    messages.py                                      what needs no server
    messages.py URL BROKERS TOPIC                    TOPIC: that of documents, NAME.documents
"""
import glob
import json
import os
import subprocess
import sys
import time
import urllib.request

import jsonschema_rs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 60
# A place that is nowhere: everything is sent.
NOWHERE = "2-01890a5d-ac96-774b-bcce-b302099a8057"


def read(*path):
    with open(os.path.join(ROOT, *path)) as file:
        return json.load(file)


DESCRIPTION = read("docs", "asyncapi.json")
SCHEMAS = {"components": DESCRIPTION["components"]}
problems = []


def resolve(reference):
    found = DESCRIPTION
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def check_document():
    for reference in references(DESCRIPTION):
        try:
            resolve(reference)
        except KeyError:
            problems.append(f"{reference} leads nowhere")
    routes = {path for path, item in read("docs", "openapi.json")["paths"].items() for operation in item.values()
              if isinstance(operation, dict) for status, answer in operation.get("responses", {}).items()
              if status == "101" or "text/event-stream" in answer.get("content", {})}
    # Those of webhooks are where their owners say.
    addresses = {channel["address"] for channel in DESCRIPTION["channels"].values() if channel["address"]}
    channels = {address for address in addresses if address.startswith("/")}
    problems.extend(f"{path}: a route that sends messages, and no channel" for path in routes - channels)
    problems.extend(f"{path}: a channel, and no route" for path in channels - routes)
    topics = addresses - channels
    categories = {os.path.basename(path).removesuffix(".json") for path in glob.glob(os.path.join(ROOT, "docs", "events", "*.json"))}
    if topics != {f"cdc.{category}s" for category in categories}:
        problems.append(f"topics: {sorted(topics)}, and events of {sorted(categories)}")


def validator(channel):
    messages = [resolve(resolve(message["$ref"])["payload"]["$ref"]) for message in channel["messages"].values()]
    return jsonschema_rs.validator_for({**(messages[0] if len(messages) == 1 else {"anyOf": messages}), **SCHEMAS})


def compare(name, messages):
    """Each message fits, and one that is changed does not."""
    judge = validator(DESCRIPTION["channels"][name])
    if not messages:
        problems.append(f"{name}: no message has come")
    for message in messages:
        problems.extend(f"{name}: {error.message[:300]} at {list(error.instance_path)} in {json.dumps(message)[:300]}"
                        for error in judge.iter_errors(message))
        if judge.is_valid({**message, "planted": 1}) or judge.is_valid({key: value for key, value in message.items() if key != "type" and key != "op"}):
            problems.append(f"{name}: it takes what it should not")
    return len(messages)


def ask(url, method, path, body=None):
    request = urllib.request.Request(url + path, json.dumps(body).encode() if body is not None else None,
                                     {"X-Actor": "alice", "Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.loads(response.read() or b"null")


def events(url, path, count):
    """So many server-sent events, from the beginning."""
    found, end = [], time.monotonic() + PATIENCE
    request = urllib.request.Request(url + path, headers={"X-Actor": "alice"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        # A comment comes now and then.
        while len(found) < count and time.monotonic() < end:
            line = response.readline().decode()
            if line.startswith("data:"):
                found.append(json.loads(line[5:]))
    return found


def topic(brokers, name, count):
    """The messages of a topic, once there are so many."""
    for _ in range(PATIENCE * 2):
        result = subprocess.run(["kcat", "-b", brokers, "-C", "-t", name, "-e", "-q"], capture_output=True, text=True)
        messages = [json.loads(line) for line in result.stdout.splitlines() if line]
        if len(messages) >= count:
            return messages
        time.sleep(0.5)
    return messages


def check_webhook(message):
    """- Returns: what is wrong with a message that a webhook was told."""
    compare("webhook", [message])
    return problems


def check_messages(url, brokers, documents):
    def name(category):
        return documents.removesuffix("documents") + f"{category}s"
    search = ask(url, "POST", "/saved-searches", {"name": "Leases", "query": {"q": "lease"}})
    assert search["id"]
    ask(url, "POST", "/webhooks", {"url": "https://example.com/hook", "selection": {"events": ["document.signed"]}})
    ask(url, "PUT", "/document-types/invoice", {"title": "Invoice", "fields": [{"name": "total", "kind": "money"}]})
    one = ask(url, "POST", "/documents", {"title": "Lease", "content": "text", "content_type": "text/plain"})["id"]
    ask(url, "PATCH", f"/documents/{one}", {"status": "viewed"})
    ask(url, "PATCH", f"/documents/{one}", {"title": "The lease", "tags": ["a"]})
    ask(url, "PATCH", f"/documents/{one}", {"type": "invoice", "fields": {"total": {"amount": "1.00", "currency": "EUR"}}})
    ask(url, "POST", f"/documents/{one}/links", {})
    ask(url, "POST", "/signatures", {"document_id": one, "signer_email": "jane@example.com", "signer_name": "Jane", "signature_data": "c2lnbmVk"})
    ask(url, "PUT", f"/documents/{one}/shares/user:jane", {"rights": ["view"]})
    two = ask(url, "POST", "/documents", {"title": "Offer"})["id"]
    ask(url, "POST", f"/documents/{two}/signing-sessions", {"participants": [{"email": "jane@example.com", "name": "Jane"}], "consent": "I agree."})
    three = ask(url, "POST", "/documents", {"title": "Gone"})["id"]
    ask(url, "DELETE", f"/documents/{three}")
    ask(url, "POST", "/batches", {"documents": [three, one], "add_tags": ["b"]})
    checked = 0
    for channel, path, count in (("documentEvents", f"/documents/{one}/events?last_event_id={NOWHERE}", 7),
                                 ("logEvents", f"/events?last_event_id={NOWHERE}", 15),
                                 ("searchEvents", f"/saved-searches/events?last_event_id={NOWHERE}", 1)):
        checked += compare(channel, events(url, path, count))
    for category, count in (("document", 12), ("signature", 1), ("signing_session", 1), ("share_link", 1), ("batch", 1), ("type", 1),
                            ("search_list", 1), ("search_hit", 1), ("webhook_list", 1)):
        checked += compare(category, topic(brokers, name(category), count))
    print(f"{checked} messages")


if __name__ == "__main__":
    check_document()
    if len(sys.argv) > 1:
        check_messages(*sys.argv[1:4])
    print("\n".join(problems) or "all messages and channels are as docs/asyncapi.json describes them")
    sys.exit(1 if problems else 0)
