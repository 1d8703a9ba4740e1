"""The intended differences, and the cases that do not apply, each with its reason."""
SIGNALS = "snapshots on demand through a signalling table are not supported: restart with another snapshot.mode"
# Cases that do not apply: the beginning of the case's name, and the reason.
NOT_APPLICABLE = {
    "21-outbox-expand-schemas": "an expanded payload has no schema: the relay does not "
    "start; Debezium stops at the first row", "07-snapshot-blocking": SIGNALS,
    "07-snapshot-incremental": SIGNALS}
# Debezium stops with an error; Annals continues. docs/debezium-compatibility.md lists what it sends.
STOPS = "Debezium stops on this input"
# Intended differences: beginnings of the cases' names, pattern of the path in the message, reason.
MEANT = [
    ("41-schema-change", r"key|value\.schema", "Debezium read keys, defaults and nullability from the catalog after the "
     "whole script had run and the primary key was dropped; Annals reads them when the first row arrives"),
    ("12-types-text", r".*\.c_name$", "for the type name, Debezium sends null in the stream "
     "and the value in snapshots; here the value"),
    ("13-types,35-flatten", r".*\.c_date$", "Debezium's days before 1582 and infinities differ "
     "between snapshot and stream; here the calendar is always proleptic Gregorian, and infinity is the minimum or maximum of int32"),
    ("13-types,35-flatten", r".*\.c_ts$", "beyond 64 bits, Debezium wraps around; here the end of int64 is sent"),
    ("14-types-array", r".*\.a_time(tz)?\[0\]$", "Debezium truncates times in arrays to milliseconds or seconds; here full precision"),
    ("14-types-array", r".*\.a_2d$", "for two-dimensional arrays, Debezium sends arrays of nulls in snapshots and null in "
     "the stream; here null"),
    ("14-types-array", r".*\.a_bit$", "Debezium sends null for arrays of bits; here the bits"),
]
