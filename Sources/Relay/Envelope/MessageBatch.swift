package import JSON

/// Messages in the order in which they are to be sent, in one buffer.
package struct MessageBatch {
  struct Message {
    /// Index in the batch's list of topics.
    let topic: Int
    /// nil: chosen by the key.
    let partition: Int32?
    /// Milliseconds since 1970; nil: the time of sending.
    let timestamp: Int64?
    let key: Range<Int>?
    /// nil: a tombstone.
    let value: Range<Int>?
    let headers: Range<Int>
    /// The number of its transaction in the confirmation tracker.
    let transaction: Int
    /// What it comes from, and its index among the messages of this source.
    let source: MessageSource
    let ordinal: Int32
  }

  struct Header {
    let name: Range<Int>
    let value: Range<Int>?
  }

  private(set) var messages: [Message] = []
  private(set) var headers: [Header] = []
  private(set) var topics: [String] = []
  /// The traces of some of them, each with its message's transaction and topic.
  private(set) var traces: [(traceparent: String, transaction: Int, topic: String)] = []
  /// The trace of the next message.
  var traceparent: String?
  private var firstHeader = 0
  private var source = MessageSource.event(0)
  private var firstOfSource = 0
  private var writer = JSONWriter(reserving: 64 << 10)

  package init() {}

  var isEmpty: Bool { messages.isEmpty }
  var byteCount: Int { writer.bytes.count }

  /// Sets the source of the messages that follow, and how many messages of it precede them.
  mutating func begin(_ source: MessageSource, after count: Int) {
    self.source = source
    firstOfSource = messages.count - count
  }

  /// Writes bytes that a message will refer to, and returns their range.
  package mutating func written<E>(_ body: (inout JSONWriter) throws(E) -> Void) throws(E) -> Range<Int> {
    let start = writer.bytes.count
    try body(&writer)
    return start..<writer.bytes.count
  }

  package mutating func copied(_ bytes: some Collection<UInt8>) -> Range<Int> { written { $0.splice(bytes) } }

  /// A header of the next message.
  package mutating func header(_ name: StaticString, _ value: Range<Int>?) {
    let name = copied(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    headers.append(Header(name: name, value: value))
  }

  package mutating func header(_ name: String, _ value: Range<Int>?) {
    headers.append(Header(name: copied(name.utf8), value: value))
  }

  /// Adds a message with the headers that were written since the last one.
  package mutating func add(
    topic: String, partition: Int32? = nil, timestamp: Int64? = nil, key: Range<Int>?, value: Range<Int>?,
    transaction: Int
  ) {
    messages.append(
      Message(
        topic: number(of: topic), partition: partition, timestamp: timestamp, key: key, value: value,
        headers: firstHeader..<headers.count, transaction: transaction, source: source,
        ordinal: Int32(messages.count - firstOfSource)))
    firstHeader = headers.count
    guard let traceparent else { return }
    traces.append((traceparent, transaction, topic))
    self.traceparent = nil
  }

  private mutating func number(of topic: String) -> Int {
    // Messages of one topic come in runs.
    if let last = messages.last, topics[last.topic] == topic { return last.topic }
    if let known = topics.firstIndex(of: topic) { return known }
    topics.append(topic)
    return topics.count - 1
  }

  /// Adds a tombstone: the last message's key and headers without a value, so that compaction can remove the key.
  ///
  /// - Parameter more: An additional header.
  package mutating func addTombstone(_ more: (name: String, value: String)? = nil) {
    guard let last = messages.last else { return }
    var range = last.headers
    if let more {
      let start = headers.count
      headers += headers[range]
      header(more.name, copied(more.value.utf8))
      range = start..<headers.count
      firstHeader = headers.count
    }
    messages.append(
      Message(
        topic: last.topic, partition: last.partition, timestamp: last.timestamp, key: last.key, value: nil,
        headers: range, transaction: last.transaction, source: last.source, ordinal: last.ordinal + 1
      ))
  }

  /// The messages with these indices.
  func keeping(_ indices: [Int]) -> MessageBatch {
    var part = self
    part.messages = indices.map { messages[$0] }
    part.traces = []
    return part
  }

  /// One of its messages.
  func only(_ message: Message) -> MessageBatch {
    var part = self
    part.messages = [message]
    return part
  }

  /// What Kafka orders messages by: those of one topic and key keep their order.
  struct Key: Hashable {
    let topic: String
    let key: [UInt8]?
  }

  func key(of message: Message) -> Key {
    Key(topic: topics[message.topic], key: message.key.map(bytes))
  }

  /// Tells a message from all others of its source. Encoding it again gives the same.
  struct Identity: Hashable {
    let topic: String
    let source: MessageSource
    let ordinal: Int32
  }

  func identity(of message: Message) -> Identity {
    Identity(topic: topics[message.topic], source: message.source, ordinal: message.ordinal)
  }

  func bytes(_ range: Range<Int>) -> [UInt8] { Array(writer.bytes[range]) }

  /// How many bytes Kafka needs for the message as a batch of its own (its documentation, “Record Batch”): 61 for the
  /// batch, at most 27 for lengths and deltas, at most 10 for the lengths of each header.
  func recordBytes(_ message: Message) -> Int {
    let headers = headers[message.headers].reduce(0) { $0 + $1.name.count + ($1.value?.count ?? 0) + 10 }
    return 88 + (message.key?.count ?? 0) + (message.value?.count ?? 0) + headers
  }

  /// Lends everything that was written; ranges are within it.
  func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { writer.bytes.withUnsafeBytes(body) }

  func text(_ range: Range<Int>) -> String { String(decoding: writer.bytes[range], as: UTF8.self) }
}
