"""Judges a run of the Autobahn WebSocket testsuite: `wstest_report.py reports/index.json run.log`.

Every case must be OK or INFORMATIONAL; NON-STRICT is taken in group 6.4 only, and UNIMPLEMENTED in groups 12 and 13
only, where it means that a compression offer was declined. Cases other than OK are printed by name.

A suite that loses its connection stops early, reports what it has and exits with 0, so the report must also hold as
many cases as the log announced.
"""

import collections
import json
import re
import sys


def is_accepted(case, result):
    behavior, close = result["behavior"], result["behaviorClose"]
    if behavior == "UNIMPLEMENTED":
        return case.startswith(("12.", "13."))
    if behavior == "NON-STRICT":
        return case.startswith("6.4.") and close in ("OK", "INFORMATIONAL")
    return behavior in ("OK", "INFORMATIONAL") and close in ("OK", "INFORMATIONAL")


def announced_cases(log):
    found = re.search(r"^Ok, will run (\d+) test cases", log, re.MULTILINE)
    return int(found.group(1)) if found else None


def main(report_path, log_path):
    with open(report_path, encoding="utf-8") as file:
        (results,) = json.load(file).values()
    with open(log_path, encoding="utf-8", errors="replace") as file:
        log = file.read()
    names = collections.defaultdict(list)
    failures = 0
    for case in sorted(results, key=lambda case: [int(part) for part in case.split(".")]):
        result = results[case]
        if not is_accepted(case, result):
            failures += 1
            print(f"   {case}: {result['behavior']}, close {result['behaviorClose']}: not accepted")
        elif result["behavior"] != "OK":
            names[result["behavior"]].append(case)
    for behavior, cases in names.items():
        print(f"   {behavior}: {' '.join(cases)}")
    counts = collections.Counter(result["behavior"] for result in results.values())
    print(f"   {len(results)} cases: " + ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    announced = announced_cases(log)
    if not results or len(results) != announced:
        print(f"   incomplete: {announced} cases were announced; the log ends with:")
        print("   " + log.strip().rsplit("\n", 1)[-1])
        return 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
