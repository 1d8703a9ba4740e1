import JSON
import Logging
import Postgres
@testable import Connector
@testable import Relay
import Time

/// Feeds arbitrary bytes to what reads them first: the decoder of pgoutput messages, and the encoders behind it. Malformed
/// input is an error value, never a trap.
///
/// An input is a byte that chooses options, then messages, each behind its length in two bytes.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  var input = Array(UnsafeBufferPointer(start: start, count: count))[...]
  guard let choice = input.popFirst() else { return 0 }
  let encoders = Encoders(choice: choice)
  while input.count >= 2 {
    let length = Int(input.removeFirst()) << 8 | Int(input.removeFirst())
    let message = Array(input.prefix(length))
    input = input.dropFirst(length)
    encoders.take(message)
  }
  return 0
}

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<Int32>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
  _ fuzz: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

/// The package manager makes this the program's entry, and so libFuzzer's own main function is not linked.
@_cdecl("relay_fuzz_main")
public func run(_ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> Int32 {
  var (count, arguments) = (count, arguments)
  return runDriver(&count, &arguments, fuzz)
}

private final class Encoders {
  private let streamed = StreamedTransactions(directory: "/tmp", maximumMemory: .max)
  private let connector: ConnectorEncoder
  private let outbox: OutboxEncoder
  private let context = ChangeContext(
    database: "db", number: 0, transaction: 1, committedAt: Timestamp(microseconds: 0), lsn: LogSequenceNumber(1),
    lastCommit: nil, origin: nil)

  init(choice: UInt8) {
    let logger = Logger(label: "fuzz", level: .critical, handler: Silent())
    let router =
      """
      transforms=o
      transforms.o.type=io.debezium.transforms.outbox.EventRouter
      transforms.o.table.expand.json.payload=true
      """
    let text = """
      topic.prefix=cdc
      converter.schemas.enable=\(choice & 1 == 1 && choice & 2 == 0)
      decimal.handling.mode=\(["precise", "double", "string", "string"][Int(choice >> 2 & 3)])
      time.precision.mode=\(["adaptive", "microseconds", "nanoseconds", "connect"][Int(choice >> 4 & 3)])
      interval.handling.mode=\(choice & 64 == 0 ? "numeric" : "string")
      include.unknown.datatypes=true
      provide.transaction.metadata=\(choice & 128 != 0)
      skipped.operations=none
      \(choice & 2 == 0 ? "" : router)
      """
    do {
      connector = try ConnectorEncoder(try ConnectorOptions(parsing: text), version: "fuzz", logger: logger)
    } catch { fatalError("\(error)") }
    outbox = OutboxEncoder(version: "fuzz", name: "cdc", topic: TopicTemplate("cdc.{aggregate}s")!)
  }

  func take(_ bytes: [UInt8]) {
    var batch = MessageBatch()
    bytes.withUnsafeBytes { bytes in
      let message: PgOutputMessage
      do {
        switch try streamed.take(bytes, at: LogSequenceNumber(1)) {
        case .kept: return
        case .plain(let plain): message = plain
        case .committed(let commit):
          replay(commit.spool)
          return
        }
      } catch { return }
      if case .relation(let relation) = message {
        // Without a catalog: types by their numbers, the replica identity as the key.
        let columns = relation.columns.enumerated().map { index, column in
          ColumnDescription(
            name: column.name, isOptional: !column.isKey, defaultExpression: nil, isIdentity: false,
            keyPosition: column.isKey ? index + 1 : nil, typeID: column.type,
            type: BuiltinTypes.description(column.type, modifier: column.modifier))
        }
        let description = TableDescription(
          id: relation.id, schema: relation.schema, name: relation.name, columns: columns)
        do { try connector.add(relation, description) } catch {}
      }
      do { try connector.encode(message, context, into: &batch) } catch {}
      do { try outbox.encode(message, context, into: &batch) } catch {}
    }
    check(batch)
  }

  /// What a transaction in progress has brought, as the relay takes it back from where it was kept.
  private func replay(_ spool: TransactionSpool) {
    let records = spool.buffer
    var index = 0
    while index < records.count {
      TransactionSpool.withRecord(of: records, at: &index) { _, payload in
        var batch = MessageBatch()
        do {
          let message = try PgOutputDecoder.decode(payload)
          do { try connector.encode(message, context, into: &batch) } catch {}
          do { try outbox.encode(message, context, into: &batch) } catch {}
        } catch {}
        check(batch)
      }
    }
  }

  private func check(_ batch: MessageBatch) {
    // What was written is JSON, or text that a converter was told to keep.
    for message in batch.messages where message.headers.isEmpty {
      if let value = message.value {
        do { _ = try JSONValue(parsing: Array(batch.text(value).utf8)) } catch {
          fatalError("what was written is no JSON: \(error): \(batch.text(value).prefix(400))")
        }
      }
    }
  }
}

private struct Silent: LogHandler {
  func write(_ line: borrowing LogLine) {}
}
