import JSON
import Relay

/// One change event, whose fields can be looked up.
struct FlattenedEvent {
  let operation: String
  let table: TableEncoder
  let before: PgOutputMessage.Tuple?
  let after: PgOutputMessage.Tuple?
  /// The `source` block; null if none of its fields is sent.
  let source: JSONValue
  let block: TransactionMetadata.Block?
  /// Microseconds since 1970.
  let now: Int64

  var isDeletion: Bool { operation == "d" }
  var row: PgOutputMessage.Tuple? { isDeletion ? before : after }

  func value(of addition: FlattenOptions.Addition) -> JSONValue {
    switch addition.part {
    case nil:
      switch addition.field {
      case "op": return .string(operation)
      case "ts_ms": return .integer(now / 1_000)
      case "ts_us": return .integer(now)
      default: return .integer(now * 1_000)
      }
    case .source:
      let value = source[addition.field] ?? .null
      // A change from the stream has no value here.
      return addition.field == "snapshot" && value == .string("false") ? .null : value
    case .transaction:
      guard let block else { return .null }
      switch addition.field {
      case "id": return .string(block.id)
      case "total_order": return .integer(Int64(block.totalOrder))
      default: return .integer(Int64(block.collectionOrder))
      }
    case .before: return column(addition.field, of: before)
    case .after: return column(addition.field, of: after)
    }
  }

  func column(_ name: String, of row: PgOutputMessage.Tuple?) -> JSONValue {
    guard let row, let index = table.index(of: name), index < row.columns.count, let column = table.columns[index]
    else { return .null }
    var writer = JSONWriter(reserving: 64)
    column.write(row.columns[index], into: &writer)
    return JSONValue(written: writer)
  }
}

extension JSONValue {
  /// Parses JSON that this program wrote.
  init(written writer: JSONWriter) {
    do { self = try JSONValue(parsing: writer.bytes) } catch { self = .null }
  }

  /// As SimpleHeaderConverter writes it.
  var headerText: String? {
    switch self {
    case .null: nil
    case .string(let text): text
    default: String(decoding: bytes, as: UTF8.self)
    }
  }
}
