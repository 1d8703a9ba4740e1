#!/usr/bin/env python3
"""Whether the examples of docs/openapi.json are what the API takes: every body of fields has one, and it fits its schema, which convicts it
with a member that is not known."""
import json
import os
import sys

import jsonschema_rs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(ROOT, "docs", "openapi.json"), encoding="utf-8") as file:
    DESCRIPTION = json.load(file)
problems, checked = [], 0
for path, item in DESCRIPTION["paths"].items():
    for method, operation in item.items():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json") if isinstance(operation, dict) else None
        if not content:
            continue
        name = f"{method.upper()} {path}"
        if not isinstance(content.get("example"), dict):
            problems.append(f"{name}: no example")
            continue
        judge = jsonschema_rs.validator_for({**content["schema"], "components": DESCRIPTION["components"]}, validate_formats=True)
        problems += [f"{name}: {error.message} at {list(error.instance_path)}" for error in judge.iter_errors(content["example"])]
        if judge.is_valid({**content["example"], "planted": 1}):
            problems.append(f"{name}: the schema takes what it should not")
        checked += 1
print("\n".join(problems) or f"{checked} examples are as the API takes them")
sys.exit(1 if problems or not checked else 0)
