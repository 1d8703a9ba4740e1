"""The differences that are meant, and the cases that do not apply, each with its reason."""
SIGNALS = "snapshots on demand by a signalling table are not there: restart with snapshot.mode instead"
# Cases that do not apply, by the beginning of their names.
NOT_APPLICABLE = {
    "21-outbox-expand-schemas": "an expanded payload has no schema: refused at the start; "
    "Debezium stops at the first row", "07-snapshot-blocking": SIGNALS,
    "07-snapshot-incremental": SIGNALS}
# Debezium stops with an error; Annals goes on. What it sends instead is said in docs/debezium-compatibility.md.
STOPS = "Debezium stops on this input"
# Differences that are meant: case, path in the message, reason.
MEANT = [
    ("41-schema-change", r"key|value\.schema", "Debezium asked for keys, defaults and nullability when the whole script "
     "had run and the primary key was gone; Annals asks when the first row comes"),
    ("12-types-text", r".*\.c_name$", "Debezium streams null for the type name, and its value in snapshots"),
    ("13-types,35-flatten", r".*\.c_date$", "Debezium's days before 1582 and its infinities differ between snapshot and stream; here "
     "the calendar is proleptic Gregorian throughout and infinity is the end of int32"),
    ("13-types,35-flatten", r".*\.c_ts$", "beyond what 64 bits hold Debezium wraps around; here the end of int64 is sent"),
    ("14-types-array", r".*\.a_time(tz)?\[0\]$", "Debezium cuts times in arrays to milliseconds or seconds"),
    ("14-types-array", r".*\.a_2d$", "Debezium sends arrays of nulls for a second dimension in snapshots, null in the "
     "stream; here null"),
    ("14-types-array", r".*\.a_bit$", "Debezium sends null for arrays of bits"),
]
