import JSON
import Logging
import Postgres
import Relay
import Time

/// Encodes changes of any tables as messages, as a Debezium connector with the same options does.
final class ConnectorEncoder {
  private let options: ConnectorOptions
  private var source: SourceBlock
  private let matcher: TableMatcher
  private let messagePrefixes: NameMatcher
  private let router: OutboxRouter?
  private var relations: [UInt32: PgOutputMessage.Relation] = [:]
  private var tables: [UInt32: TableEncoder] = [:]
  private var metadata = TransactionMetadata()
  /// Tables that were read after the slot's start. Changes that a reading already holds are skipped.
  var readings: [UInt32: TableReading] = [:]
  /// Commit LSN of the current transaction.
  private var commit = LogSequenceNumber.zero

  init(_ options: ConnectorOptions, version: String, logger: Logger) throws {
    self.options = options
    source = SourceBlock(version: version, name: options.prefix)
    matcher = try TableMatcher(options)
    messagePrefixes = try NameMatcher(options.messagePrefixes)
    router = try options.outbox.map {
      try OutboxRouter(
        $0, key: options.keyConverter, value: options.valueConverter, columns: options.columns, logger: logger)
    }
  }

  /// True if changes of that table are sent.
  func includes(schema: String, table: String) -> Bool {
    matcher.contains(schema: schema, table: table)
  }

  /// True if the catalog must be queried before rows of this layout can be encoded.
  func needsDescription(of relation: PgOutputMessage.Relation) -> Bool {
    includes(schema: relation.schema, table: relation.name) && relations[relation.id] != relation
  }

  func add(_ relation: PgOutputMessage.Relation, _ description: TableDescription) throws {
    tables[relation.id] = try TableEncoder(relation, description, options)
    relations[relation.id] = relation
  }

  func encode(_ message: PgOutputMessage, _ context: ChangeContext, into batch: inout MessageBatch) throws {
    switch message {
    case .begin(let commit, _, _):
      metadata = TransactionMetadata()
      self.commit = commit
    case .commit:
      if options.hasTransactionMetadata, metadata.count > 0 { endOfTransaction(context, &batch) }
    case .insert(let relation, let row):
      if let table = table(relation, context) { try change("c", table, old: nil, row: row, context, &batch) }
    case .update(let relation, let old, let row):
      if let table = table(relation, context) { try change("u", table, old: old, row: row, context, &batch) }
    case .delete(let relation, let old):
      if let table = table(relation, context) { try change("d", table, old: old, row: nil, context, &batch) }
    case .truncate(let relations, _, _):
      guard !options.skipsOperations.contains("t") else { return }
      for table in relations.compactMap({ table($0, context) }) where !isOutbox(table) {
        event("t", table, before: nil, after: nil, key: nil, context, &batch)
      }
    case .message(let isTransactional, _, let prefix, let content):
      guard messagePrefixes.contains(prefix) else { return }
      self.message(prefix, content, isTransactional: isTransactional, context, &batch)
    case .relation, .origin, .type: break
    case .streamStart, .streamStop, .streamCommit, .streamAbort: break
    }
  }

  /// The table of a change; nil if the change is not sent.
  private func table(_ relation: UInt32, _ context: ChangeContext) -> TableEncoder? {
    if !readings.isEmpty, readings[relation]?.holds(context.transaction, commit: commit) == true { return nil }
    return tables[relation]
  }

  /// Encodes a row of a snapshot.
  func snapshot(
    _ row: PgOutputMessage.Tuple, of relation: UInt32, marker: StaticString, _ context: ChangeContext,
    into batch: inout MessageBatch
  ) throws {
    guard let table = tables[relation] else { return }
    if let router, isOutbox(table) {
      try router.route(row, of: table, context, into: &batch)
    } else {
      event(
        "r", table, before: nil, after: row, key: table.key(row, in: &batch), marker: marker, context, &batch)
    }
  }

  private func isOutbox(_ table: TableEncoder) -> Bool { router?.takes(topic: table.topic) ?? false }

  private func change(
    _ operation: Character, _ table: TableEncoder, old: PgOutputMessage.OldRow?, row: PgOutputMessage.Tuple?,
    _ context: ChangeContext, _ batch: inout MessageBatch
  ) throws {
    guard !options.skipsOperations.contains(operation) else { return }
    if let router, isOutbox(table) {
      switch operation {
      case "c": if let row { try router.route(row, of: table, context, into: &batch) }
      case "u": try router.refuseUpdate(of: table)
      default: break
      }
      return
    }
    let row = row.map { old?.isKeyOnly == false ? $0.filled(from: old?.row) : $0 }
    let before = old?.row
    switch (operation, row) {
    case ("u", let row?):
      if let before, !table.key.isEmpty, let keys = changedKey(table, before, row) {
        changeOfKey(table, keys, before, row, context, &batch)
      } else {
        event(
          "u", table, before: old?.isKeyOnly == true ? nil : before, after: row, key: table.key(row, in: &batch),
          context, &batch)
      }
    case ("d", _):
      event("d", table, before: before, after: nil, key: before.flatMap { table.key($0, in: &batch) }, context, &batch)
      tombstone(&batch)
    default:
      event(
        "c", table, before: nil, after: row, key: row.flatMap { table.key($0, in: &batch) }, context, &batch)
    }
  }

  private func changedKey(
    _ table: TableEncoder, _ before: PgOutputMessage.Tuple, _ after: PgOutputMessage.Tuple
  ) -> (old: [UInt8], new: [UInt8])? {
    var (old, new) = (JSONWriter(reserving: 64), JSONWriter(reserving: 64))
    table.keyMembers(before, into: &old)
    table.keyMembers(after, into: &new)
    return old.bytes == new.bytes ? nil : (old.bytes, new.bytes)
  }

  /// Encodes a changed primary key as a deletion and a creation. Each names the other's key in a header.
  private func changeOfKey(
    _ table: TableEncoder, _ keys: (old: [UInt8], new: [UInt8]), _ before: PgOutputMessage.Tuple,
    _ after: PgOutputMessage.Tuple, _ context: ChangeContext, _ batch: inout MessageBatch
  ) {
    let oldKey = table.key(before, in: &batch)
    event(
      "d", table, before: before, after: nil, key: oldKey, header: ("__debezium.newkey", keys.new), context, &batch)
    tombstone(&batch)
    let newKey = table.key(after, in: &batch)
    event(
      "c", table, before: nil, after: after, key: newKey, header: ("__debezium.oldkey", keys.old), context, &batch)
  }

  private func event(
    _ operation: StaticString, _ table: TableEncoder, before: PgOutputMessage.Tuple?, after: PgOutputMessage.Tuple?,
    key: Range<Int>?, header: (name: StaticString, value: [UInt8])? = nil, marker: StaticString = "\"false\"",
    _ context: ChangeContext, _ batch: inout MessageBatch
  ) {
    let now = Timestamp.now().microseconds
    let block = operation.description == "r" ? nil : nextInTransaction(table.collection, context, &batch)
    if let flatten = options.flatten {
      let event = FlattenedEvent(
        operation: operation.description, table: table, before: before, after: after,
        source: flatten.readsSource ? sourceBlock(of: table, marker, context) : .null, block: block, now: now)
      return flattened(event, flatten, key: key, header: header, context, &batch)
    }
    let value = table.value(in: &batch) { writer in
      writer.object { writer in
        writer.name("before")
        table.row(before, into: &writer)
        writer.name("after")
        table.row(after, into: &writer)
        writer.name("source")
        source.write(table.sourceName, snapshot: marker, context, into: &writer)
        writer.name("transaction")
        if let block { block.write(into: &writer) } else { writer.null() }
        writer.member("op", operation.description)
        writer.member("ts_ms", now / 1_000)
        writer.member("ts_us", now)
        writer.member("ts_ns", now * 1_000)
      }
    }
    if let header { batch.header(header.name, batch.copied(header.value)) }
    batch.add(topic: table.topic, key: key, value: value, transaction: context.number)
  }

  private func sourceBlock(of table: TableEncoder, _ marker: StaticString, _ context: ChangeContext) -> JSONValue {
    var writer = JSONWriter(reserving: 512)
    source.write(table.sourceName, snapshot: marker, context, into: &writer)
    return JSONValue(written: writer)
  }

  /// Adds a tombstone after a deletion, if the options ask for it.
  private func tombstone(_ batch: inout MessageBatch) {
    guard options.sendsTombstones else { return }
    guard let flatten = options.flatten else { return batch.addTombstone() }
    guard flatten.deletions == .rewriteWithTombstone else { return }
    // The tombstone has the headers of the deletion, and its operation header a second time, as in Debezium.
    let operation = flatten.headers.first { $0.part == nil && $0.field == "op" }
    batch.addTombstone(operation.map { ($0.name, "d") })
  }

  /// Encodes only the row, with the options of `flatten`.
  private func flattened(
    _ event: FlattenedEvent, _ flatten: FlattenOptions, key: Range<Int>?, header: (name: StaticString, value: [UInt8])?,
    _ context: ChangeContext, _ batch: inout MessageBatch
  ) {
    // A truncate has no row. The options may drop deletions.
    guard let row = event.row, !(event.isDeletion && flatten.deletions == .drop) else { return }
    if let header { batch.header(header.name, batch.copied(header.value)) }
    for addition in flatten.headers {
      batch.header(addition.name, event.value(of: addition).headerText.map { text in batch.copied(text.utf8) })
    }
    let topic = flatten.routeField.flatMap { event.column($0, of: row).headerText } ?? event.table.topic
    guard !event.isDeletion || flatten.deletions.isRewritten else {
      batch.add(topic: topic, key: key, value: nil, transaction: context.number)
      return
    }
    let value = event.table.value(in: &batch) { writer in
      writer.object { writer in
        event.table.members(row, into: &writer)
        if flatten.deletions.isRewritten { writer.member("__deleted", event.isDeletion ? "true" : "false") }
        for addition in flatten.fields {
          writer.name(addition.name)
          writer.value(event.value(of: addition))
        }
      }
    }
    batch.add(topic: topic, key: key, value: value, transaction: context.number)
  }

  // MARK: Transactions

  /// Counts a change. The first change of a transaction also sends its BEGIN message.
  private func nextInTransaction(
    _ collection: String, _ context: ChangeContext, _ batch: inout MessageBatch
  ) -> TransactionMetadata.Block? {
    guard options.hasTransactionMetadata else { return nil }
    if metadata.count == 0 { transactionEvent("BEGIN", context, &batch) }
    return metadata.next(collection, id: "\(context.transaction):\(context.lsn.value)")
  }

  private func endOfTransaction(_ context: ChangeContext, _ batch: inout MessageBatch) {
    transactionEvent("END", context, &batch)
  }

  private func transactionEvent(_ status: String, _ context: ChangeContext, _ batch: inout MessageBatch) {
    let id = "\(context.transaction):\(context.lsn.value)"
    let key = wrapped(ConnectSchema.transactionKey, options.keyConverter, &batch) { writer in
      writer.object { $0.member("id", id) }
    }
    let value = wrapped(ConnectSchema.transactionValue, options.valueConverter, &batch) { writer in
      writer.object { writer in
        writer.member("status", status)
        writer.member("id", id)
        if status == "END" {
          writer.member("event_count", metadata.count)
          writer.name("data_collections")
          metadata.writeCollections(into: &writer)
        } else {
          for name in ["event_count", "data_collections"] {
            writer.name(name)
            writer.null()
          }
        }
        writer.member("ts_ms", context.committedAt.microseconds / 1_000)
      }
    }
    batch.add(
      topic: options.prefix + options.delimiter + options.transactionTopic, key: key, value: value,
      transaction: context.number)
  }

  // MARK: Logical messages and heartbeats

  private func message(
    _ prefix: String, _ content: UnsafeRawBufferPointer, isTransactional: Bool, _ context: ChangeContext,
    _ batch: inout MessageBatch
  ) {
    let block = isTransactional ? nextInTransaction("message", context, &batch) : nil
    let key = wrapped(ConnectSchema.messageKey, options.keyConverter, &batch) { writer in
      writer.object { $0.member("prefix", prefix) }
    }
    let value = wrapped(ConnectSchema.messageValue, options.valueConverter, &batch) { writer in
      writer.object { writer in
        writer.member("op", "m")
        writer.member("ts_ms", Timestamp.now().microseconds / 1_000)
        writer.name("source")
        source.write(SourceBlock.TableName(schema: "", table: ""), context, into: &writer)
        writer.name("transaction")
        if let block { block.write(into: &writer) } else { writer.null() }
        writer.name("message")
        writer.object { writer in
          writer.member("prefix", prefix)
          writer.name("content")
          ValueWriter(options: options.columns).binary(content, &writer)
        }
      }
    }
    batch.add(
      topic: options.prefix + options.delimiter + "message", key: key, value: value, transaction: context.number)
  }

  /// Adds a heartbeat message, so that consumers see a message while the tables do not change.
  func heartbeat(transaction: Int, into batch: inout MessageBatch) {
    let key = wrapped(ConnectSchema.heartbeatKey, options.keyConverter, &batch) { writer in
      writer.object { $0.member("serverName", options.prefix) }
    }
    let value = wrapped(ConnectSchema.heartbeatValue, options.valueConverter, &batch) { writer in
      writer.object { $0.member("ts_ms", Timestamp.now().microseconds / 1_000) }
    }
    batch.add(
      topic: "\(options.heartbeatPrefix)\(options.delimiter)\(options.prefix)", partition: 0, key: key, value: value,
      transaction: transaction)
  }

  private func wrapped(
    _ schema: String, _ converter: ConnectorOptions.Converter, _ batch: inout MessageBatch,
    _ payload: (inout JSONWriter) -> Void
  ) -> Range<Int> {
    batch.written { writer in
      guard converter.hasSchemas else { return payload(&writer) }
      writer.raw("{\"schema\":")
      writer.splice(schema.utf8)
      writer.raw(",\"payload\":")
      payload(&writer)
      writer.raw("}")
    }
  }
}

extension PgOutputMessage.Tuple {
  /// Fills in unchanged values, which were not sent, from the complete old row.
  func filled(from old: PgOutputMessage.Tuple?) -> PgOutputMessage.Tuple {
    guard let old, old.columns.count == columns.count else { return self }
    return PgOutputMessage.Tuple(
      columns: zip(columns, old.columns).map { new, old in if case .unchanged = new { old } else { new } })
  }
}

/// Counts the changes of a transaction, for `provide.transaction.metadata`.
struct TransactionMetadata {
  struct Block {
    let id: String
    let totalOrder: Int
    let collectionOrder: Int

    func write(into writer: inout JSONWriter) {
      writer.object { writer in
        writer.member("id", id)
        writer.member("total_order", totalOrder)
        writer.member("data_collection_order", collectionOrder)
      }
    }
  }

  private(set) var count = 0
  private var collections: [(name: String, count: Int)] = []

  mutating func next(_ collection: String, id: String) -> Block {
    count += 1
    let index =
      collections.firstIndex { $0.name == collection }
      ?? {
        collections.append((collection, 0))
        return collections.count - 1
      }()
    collections[index].count += 1
    return Block(id: id, totalOrder: count, collectionOrder: collections[index].count)
  }

  func writeCollections(into writer: inout JSONWriter) {
    writer.array { writer in
      for (name, count) in collections {
        writer.element()
        writer.object { writer in
          writer.member("data_collection", name)
          writer.member("event_count", count)
        }
      }
    }
  }
}
