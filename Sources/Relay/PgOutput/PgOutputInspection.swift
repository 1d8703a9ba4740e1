import Crypto
import JSON
import Postgres

/// Shows the content of pgoutput messages, to inspect what a slot sends.
public enum PgOutputInspection {
  /// One message as a line of JSON. A value is the letter of its form, followed by its bytes in hexadecimal.
  ///
  /// - Throws: `PgOutputError` if the bytes are malformed.
  public static func line(_ message: [UInt8]) throws -> String {
    try message.withUnsafeBytes { bytes in
      let message = try PgOutputDecoder.decode(bytes)
      var writer = JSONWriter()
      writer.object { write(message, &$0) }
      return String(decoding: writer.bytes, as: UTF8.self)
    }
  }

  private static func write(_ message: PgOutputMessage, _ writer: inout JSONWriter) {
    func row(_ letter: String, _ tuple: PgOutputMessage.Tuple, _ writer: inout JSONWriter) {
      writer.element()
      writer.array { writer in
        writer.element()
        writer.string(letter)
        writer.element()
        writer.array { writer in
          for column in tuple.columns {
            writer.element()
            switch column {
            case .null: writer.null()
            case .unchanged: writer.string("unchanged")
            case .text(let bytes): writer.string("t" + bytes.hexadecimal)
            case .binary(let bytes): writer.string("b" + bytes.hexadecimal)
            }
          }
        }
      }
    }
    func rows(
      _ name: String, _ relation: UInt32, old: PgOutputMessage.OldRow?, new: PgOutputMessage.Tuple?,
      _ writer: inout JSONWriter
    ) {
      writer.member("message", name)
      writer.member("relation", relation)
      writer.name("rows")
      writer.array { writer in
        if let old { row(old.isKeyOnly ? "K" : "O", old.row, &writer) }
        if let new { row("N", new, &writer) }
      }
    }
    switch message {
    case .begin(let lsn, _, let transaction):
      writer.member("message", "begin")
      writer.member("lsn", lsn.value)
      writer.member("xid", transaction)
    case .commit(let lsn, let end, _):
      writer.member("message", "commit")
      writer.member("lsn", lsn.value)
      writer.member("end", end.value)
    case .origin(_, let name):
      writer.member("message", "origin")
      writer.member("name", name)
    case .relation(let relation):
      writer.member("message", "relation")
      writer.member("relation", relation.id)
      writer.member("table", "\(relation.schema).\(relation.name)")
      writer.member("identity", String(Unicode.Scalar(relation.identity)))
      writer.array("columns", of: relation.columns) { writer, column in
        writer.array { writer in
          writer.element()
          writer.string(column.name)
          writer.element()
          writer.integer(Int64(column.type))
          writer.element()
          writer.integer(Int64(column.modifier))
        }
      }
    case .insert(let relation, let new): rows("insert", relation, old: nil, new: new, &writer)
    case .update(let relation, let old, let new): rows("update", relation, old: old, new: new, &writer)
    case .delete(let relation, let old): rows("delete", relation, old: old, new: nil, &writer)
    case .truncate(let relations, _, _):
      writer.member("message", "truncate")
      writer.array("relations", of: relations) { $0.integer(Int64($1)) }
    case .message(let isTransactional, _, let prefix, let content):
      writer.member("message", "message")
      writer.member("transactional", isTransactional)
      writer.member("prefix", prefix)
      writer.member("content", content.hexadecimal)
    case .type: writer.member("message", "type")
    case .streamStart(let transaction, let isFirst):
      writer.member("message", "stream start")
      writer.member("xid", transaction)
      writer.member("first", isFirst)
    case .streamStop: writer.member("message", "stream stop")
    case .streamCommit(let transaction, let lsn, let end, _):
      writer.member("message", "stream commit")
      writer.member("xid", transaction)
      writer.member("lsn", lsn.value)
      writer.member("end", end.value)
    case .streamAbort(let transaction, let subtransaction):
      writer.member("message", "stream abort")
      writer.member("xid", transaction)
      writer.member("subtransaction", subtransaction)
    }
  }
}
