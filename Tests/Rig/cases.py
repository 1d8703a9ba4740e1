"""Runs the cases of a program that looks at a running Annals: a line for each, and last how many held."""
import sys


def run(cases, wanted=""):
    """- wanted: only cases with this in their names."""
    failed = 0
    cases = [case for case in cases if wanted in case.__name__]
    for case in cases:
        try:
            case()
            print("ok    ", case.__name__, flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            place = sys.exc_info()[2].tb_next
            print("FAILED", case.__name__, repr(error)[:600], "line", place.tb_lineno if place else "?", flush=True)
    print(f"{len(cases) - failed} of {len(cases)} cases hold")
    sys.exit(1 if failed else 0)
