"""The throw-away module of the rehearsal: it goes the ways that most functions go, and nobody sees its answers."""

import json
import os


class Greeting:
    def __init__(self, name):
        self.name = name

    def words(self):
        return {"text": f"hello {self.name}", "words": [word.upper() for word in ("a", "b", "c")]}


def run(event, context):
    print("rehearsal", event.get("name"), context.request_id)
    if event.get("fails"):
        raise ValueError("rehearsed failure")
    return {"greeting": Greeting(event["name"]).words(), "env": len(os.environ), "json": json.dumps(event, indent=1)}
