"""Holds JSON documents against JSON Schemas (draft 2020-12), and prints a line for each that does not fit.

Usage: schema_check.py FOLDER < CHECKS, where CHECKS is a JSON list of [schema, document's text, label].
"""

import json
import pathlib
import sys

from jsonschema import Draft202012Validator


def main():
    folder = pathlib.Path(sys.argv[1])
    count = 0
    for name, text, label in json.load(sys.stdin):
        schema = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
        count += 1
        try:
            document = json.loads(text)
        except ValueError as problem:
            print(f"{label}: no JSON: {problem}: {text[:200]!r}")
            continue
        for problem in Draft202012Validator(schema).iter_errors(document):
            print(f"{label} against {name}: {'/'.join(map(str, problem.path))}: {problem.message[:300]}")
    print(f"checked {count}")


if __name__ == "__main__":
    main()
