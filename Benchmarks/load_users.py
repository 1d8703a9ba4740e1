"""The users of `make load`, for Locust. LOAD_TOKENS names a file with the tokens that they have: one for each document user in turn,
and one for search users, who see all documents."""
import itertools
import json
import os
import random

from load import WORDS
from locust import FastHttpUser, between, task

with open(os.environ["LOAD_TOKENS"]) as file:
    TOKENS = json.load(file)
OWNERS = itertools.cycle(TOKENS["owners"])


def title():
    return f"{random.choice(WORDS)} {random.choice(WORDS)} {random.randrange(1_000_000)}"


class Client(FastHttpUser):
    abstract = True
    wait_time = between(1, 2)
    network_timeout = connection_timeout = 30.0

    def ask(self, method, path, name, **words):
        words["headers"] = {"Authorization": f"Bearer {self.token}"}
        return self.client.request(method, path, name=name, **words)


class DocumentUser(Client):
    """Creates, lists, searches and signs."""
    weight = 3

    def on_start(self):
        self.token, self.email = next(OWNERS)
        self.documents = []

    @task(3)
    def create(self):
        answer = self.ask("POST", "/documents", "POST /documents",
                          json={"title": title(), "content": f"{title()}, {title()}", "content_type": "text/plain"})
        if answer.status_code == 201:
            self.documents = [*self.documents[-19:], answer.json()["id"]]

    @task(3)
    def list(self):
        self.ask("GET", "/documents?limit=20", "GET /documents")

    @task(3)
    def search(self):
        self.ask("GET", f"/search?q={random.choice(WORDS)}", "GET /search")

    @task(1)
    def sign(self):
        if self.documents:
            self.ask("POST", "/signatures", "POST /signatures", json={
                "document_id": self.documents.pop(), "signer_email": self.email, "signer_name": "Jane Doe",
                "signature_data": "c2lnbmVk"})


class SearchUser(Client):
    """Searches and lists."""
    weight = 1

    def on_start(self):
        self.token = TOKENS["reader"]

    @task(3)
    def search(self):
        self.ask("GET", f"/search?q={random.choice(WORDS)}", "GET /search")

    @task(1)
    def list(self):
        self.ask("GET", "/documents?limit=20", "GET /documents")
