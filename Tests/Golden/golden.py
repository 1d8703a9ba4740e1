#!/usr/bin/env python3
"""Replays recorded cases of Debezium's PostgreSQL connector through the relay and compares every message.

  make golden CASES=DIR
  golden.py DIR [CASE ...]

DIR holds a folder for each case: setup.sql, config.properties (the connector's own), case.sql, records.jsonl (what the
connector sent) and pgoutput.txt (the same changes as raw messages: LSN, transaction, hexadecimal bytes). Each case runs
in a fresh database of its own: setup.sql, then the relay with that very configuration and `--relay.destination print`,
then case.sql. Messages are compared field by field, order included; only what differs from run to run is masked. Then the
recorded bytes go through the decoder alone. Ends with 1 where a message differs that no listed reason covers.
"""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig import stack  # noqa: E402
from Rig.database import sql  # noqa: E402
from comparing import differences, is_heartbeat, normal, short, without_heartbeats  # noqa: E402
from expected import MEANT, NOT_APPLICABLE, STOPS  # noqa: E402
from pgoutput import decode  # noqa: E402
from relay import Relay  # noqa: E402

DATABASE = "docsdb"


def run_script(path):
    # Some scripts provoke errors on purpose: they go on, as the recording did.
    subprocess.run(["psql", "-qAt", f"{stack.postgres_server()}/{DATABASE}", "-f", path], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=120)


class Case:
    def __init__(self, path):
        self.path, self.name = path, os.path.basename(path.rstrip("/"))
        self.problems, self.meant, self.count = [], [], 0

    def reason_not_to_run(self):
        for beginning, reason in NOT_APPLICABLE.items():
            if self.name.startswith(beginning):
                return reason
        return None

    def run(self, binary, folder):
        sql("postgres", f"drop database if exists {DATABASE} with (force)")
        sql("postgres", f"create database {DATABASE}")
        run_script(os.path.join(self.path, "setup.sql"))
        relay = Relay(binary, folder, self.path)
        stops = os.path.exists(os.path.join(self.path, "engine-error.txt"))
        theirs = [json.loads(line) for line in open(os.path.join(self.path, "records.jsonl"))]
        try:
            relay.wait_until_streaming()
            run_script(os.path.join(self.path, "case.sql"))
            relay.read_until(len(without_heartbeats(theirs)) if not stops else 1)
        except RuntimeError as error:
            self.problems.append(str(error))
        finally:
            relay.stop()
            for slot in sql("postgres", f"select slot_name from pg_replication_slots where database = '{DATABASE}' or "
                                        "slot_name like '%_snapshot'").split():
                sql("postgres", f"select pg_drop_replication_slot('{slot}')")
        self.compare(relay.records, theirs, stops)

    def compare(self, ours, theirs, stops):
        if any(map(is_heartbeat, theirs)) != any(map(is_heartbeat, ours)):
            self.problems.append("heartbeats on one side only")
        beats = [[normal(r, h) for r in records if is_heartbeat(r)][:1]
                 for records, h in ((ours, "headers"), (theirs, "headersSimpleHeaderConverter"))]
        self.note(differences("heartbeat", *beats))
        ours = [normal(r, "headers") for r in without_heartbeats(ours)]
        theirs = [normal(r, "headersSimpleHeaderConverter") for r in without_heartbeats(theirs)]
        self.count = len(ours)
        if stops:
            self.meant.append((f"{len(theirs)} messages, then an error; here {len(ours)}", STOPS))
            theirs, ours = theirs, ours[:len(theirs)]
        elif len(ours) != len(theirs):
            self.problems.append(f"{len(ours)} messages, Debezium sent {len(theirs)}")
        for index, (left, right) in enumerate(zip(ours, theirs)):
            self.note(differences("", left, right), index)

    def note(self, found, index=None):
        for path, ours, theirs in found:
            where = path if index is None else f"message {index}: {path}"
            for case, pattern, reason in MEANT:
                if self.name.startswith(tuple(case.split(","))) and re.match(pattern, path):
                    self.meant.append((where, reason))
                    break
            else:
                self.problems.append(f"{where}: {short(ours)} where Debezium has {short(theirs)}")


def decoder_differences(binary, case):
    path = os.path.join(case.path, "pgoutput.txt")
    expected = [decode(bytes.fromhex(line.split()[2])) for line in open(path) if line.strip()]
    result = subprocess.run([binary, "relay", "decode", path], capture_output=True, text=True, timeout=60)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    if result.returncode or len(found) != len(expected):
        return len(expected), [f"{len(found)} of {len(expected)} messages decoded {result.stderr[-300:]}"]
    return len(expected), [f"pgoutput message {index}: {short(left)} is {short(right)}"
                           for index, (left, right) in enumerate(zip(found, expected)) if left != right]


def main():
    if len(sys.argv) < 2 or not os.path.isdir(sys.argv[1]):
        sys.exit(__doc__)
    folder, names = sys.argv[1], sys.argv[2:]
    binary = stack.binary()
    cases = [Case(os.path.join(folder, name)) for name in sorted(os.listdir(folder))
             if os.path.isdir(os.path.join(folder, name)) and (not names or name in names)]
    if not cases:
        sys.exit(f"golden: there is no case in {folder}")
    scratch = stack.folder("golden")
    same, meant, failed, skipped, decoded, messages = 0, 0, 0, 0, 0, 0
    for case in cases:
        reason = case.reason_not_to_run()
        if reason:
            skipped += 1
            print(f"not run    {case.name}: {reason}")
        else:
            case.run(binary, scratch)
            messages += case.count
        count, wrong = decoder_differences(binary, case)
        decoded += count
        case.problems += wrong
        if case.problems:
            failed += 1
            print(f"DIFFERENT  {case.name}")
            for problem in case.problems[:int(os.environ.get("GOLDEN_SHOW", "8"))]:
                print(f"             {problem}")
        elif case.meant:
            meant += 1
            print(f"as meant   {case.name}, {case.count} messages, {len(case.meant)} meant differences")
            for where, reason in sorted(set((re.sub(r"message \d+: ", "", w), r) for w, r in case.meant))[:12]:
                print(f"             {where}: {reason}")
        elif not reason:
            same += 1
            print(f"same       {case.name}, {case.count} messages")
        sys.stdout.flush()
    sql("postgres", f"drop database if exists {DATABASE} with (force)")
    print(f"{len(cases)} cases: {same} the same, {meant} different as meant, {failed} different, {skipped} not run; "
          f"{messages} messages compared, {decoded} pgoutput messages decoded")
    sys.exit(1 if failed else 0)


main()
