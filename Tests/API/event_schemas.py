#!/usr/bin/env python3
"""Whether docs/events describes the events: every form that was ever written (Tests/DomainTests/Fixtures) fits the schema of its type and
version, every schema has a form, and a schema convicts what it should: a member that it does not know, and one that is missing.

Forms are added and never changed, so that a schema that gets narrower is convicted by an older form.
"""
import copy
import glob
import json
import os
import sys

import jsonschema_rs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIXTURES, SCHEMAS = os.path.join(ROOT, "Tests", "DomainTests", "Fixtures"), os.path.join(ROOT, "docs", "events")


def read(path):
    with open(path) as file:
        return json.load(file)


def main():
    problems, checked, described = [], 0, {}
    for path in sorted(glob.glob(os.path.join(SCHEMAS, "*.json"))):
        schema, category = read(path), os.path.basename(path).removesuffix(".json")
        jsonschema_rs.meta.validate(schema)
        for name in schema["$defs"]:
            if name[0].isupper():
                described[category, name] = jsonschema_rs.validator_for(
                    {"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]}, validate_formats=True), schema["$defs"][name]
    seen = set()
    for path in sorted(glob.glob(os.path.join(FIXTURES, "*", "*.json"))):
        category, form = os.path.basename(os.path.dirname(path)), os.path.basename(path)
        key = category, ".".join(form.split(".")[:2])
        if key not in described:
            problems.append(f"{category}/{form}: docs/events/{category}.json has no {key[1]}")
            continue
        seen.add(key)
        validator, schema = described[key]
        data = read(path)
        problems += [f"{category}/{form}: {error.message}" for error in validator.iter_errors(data)]
        checked += 1
        if validator.is_valid({**data, "planted": 1}):
            problems.append(f"docs/events/{category}.json: {key[1]} takes members that it does not know")
        for member in schema["required"]:
            less = copy.copy(data)
            del less[member]
            if validator.is_valid(less):
                problems.append(f"docs/events/{category}.json: {key[1]} does not miss {member}")
    problems += [f"docs/events/{category}.json: no form of {name} was ever written" for category, name in described.keys() - seen]
    print("\n".join(problems) or f"{checked} forms of {len(seen)} events are as docs/events describes them")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
