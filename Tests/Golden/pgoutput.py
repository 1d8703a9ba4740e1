"""Reads pgoutput messages: a second reader, to judge the relay's decoder by."""
import struct


def decode(message):
    """What a message says, read here by another reader than the relay's."""
    kind, body = chr(message[0]), message[1:]
    if kind == "B":
        lsn, _, xid = struct.unpack(">QqI", body)
        return {"message": "begin", "lsn": lsn, "xid": xid}
    if kind == "C":
        _, lsn, end, _ = struct.unpack(">BQQq", body)
        return {"message": "commit", "lsn": lsn, "end": end}
    if kind == "O":
        return {"message": "origin", "name": body[8:-1].decode()}
    if kind == "Y":
        return {"message": "type"}
    if kind == "M":
        flags, lsn = struct.unpack(">BQ", body[:9])
        prefix, rest = body[9:].split(b"\0", 1)
        return {"message": "message", "transactional": bool(flags & 1), "prefix": prefix.decode(),
                "content": rest[4:].hex()}
    if kind == "T":
        count, flags = struct.unpack(">IB", body[:5])
        return {"message": "truncate", "relations": list(struct.unpack(f">{count}I", body[5:]))}
    if kind == "R":
        relation = struct.unpack(">I", body[:4])[0]
        schema, table, rest = body[4:].split(b"\0", 2)
        identity, count = struct.unpack(">BH", rest[:3])
        rest, columns = rest[3:], []
        for _ in range(count):
            name, after = rest[1:].split(b"\0", 1)
            columns.append([name.decode(), *struct.unpack(">Ii", after[:8])])
            rest = after[8:]
        return {"message": "relation", "relation": relation, "table": f"{schema.decode()}.{table.decode()}",
                "identity": chr(identity), "columns": columns}
    relation, rest = struct.unpack(">I", body[:4])[0], body[4:]
    rows = []
    while rest:
        letter, count = struct.unpack(">cH", rest[:3])
        rest, values = rest[3:], []
        for _ in range(count):
            form, rest = chr(rest[0]), rest[1:]
            if form in "nu":
                values.append(None if form == "n" else "unchanged")
            else:
                length = struct.unpack(">I", rest[:4])[0]
                values.append(form + rest[4:4 + length].hex())
                rest = rest[4 + length:]
        rows.append([letter.decode(), values])
    return {"message": {"I": "insert", "U": "update", "D": "delete"}[kind], "relation": relation, "rows": rows}
