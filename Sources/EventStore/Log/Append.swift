public import Events
import JSON
public import Postgres
import Reactor
import Schema
public import Time
import Tracing

/// Events for one stream of an append.
public struct StreamAppend: Sendable {
  public let stream: StreamID
  public let expecting: ExpectedVersion
  public let events: [NewEvent]

  public init(_ events: [NewEvent], to stream: StreamID, expecting: ExpectedVersion) {
    (self.events, self.stream, self.expecting) = (events, stream, expecting)
  }
}

/// A command that is carried out once, however often it is sent.
public struct CommandKey: Sendable {
  public let key: String
  /// A hash of what is asked. The same key with another one is refused.
  public let request: [UInt8]
  /// A JSON text: what the first call answers, and each later one too.
  public let answer: [UInt8]

  public init(_ key: String, request: [UInt8], answer: [UInt8]) {
    (self.key, self.request, self.answer) = (key, request, answer)
  }
}

/// The result of an append.
public struct AppendResult: Equatable, Sendable {
  /// The streams' versions after their last events, in the order of the call.
  public let versions: [StreamVersion]
  public let recordedAt: Time.Timestamp
  /// The first answer of a command that was carried out before; nil: the events were appended.
  public let replayed: [UInt8]?

  /// The first stream's version.
  public var version: StreamVersion { versions.first ?? .none }
}

extension EventStore {
  static let append = Query("append", Schema.append)
  static let appendMany = Query("append_many", Schema.appendMany)
  static let recentEvent = Query("recent_event", Schema.recentEvent)
  static let findCommand = Query("find_command", Schema.findCommand)

  /// How often an append is sent that loses races with `ExpectedVersion.any`.
  static let maximumTries = 20
  /// How long an append goes on whose connection broke: new connections take a while.
  static let longestInterruption = Duration.seconds(15)

  /// Appends events to one stream, and their outbox rows, in one transaction and one round trip (G1).
  ///
  /// A connection that breaks is no conflict: the call looks for its own events before it says so, and sends them again.
  ///
  /// - Throws: `versionConflict` with the stream's version if it is not the expected one. Nothing is then written.
  public func append(
    _ events: [NewEvent], to stream: StreamID, expecting: ExpectedVersion, metadata: EventMetadata
  ) async throws(AppendError) -> AppendResult {
    try await append([StreamAppend(events, to: stream, expecting: expecting)], metadata: metadata)
  }

  /// Appends events to one or several streams, in one transaction: all or none (G1).
  ///
  /// - Parameters:
  ///   - appends: Each stream once; none for a command that changes nothing and whose answer is kept.
  ///   - command: The answer is kept under its key, in the same transaction.
  /// - Throws: `versionConflict` for the first stream that is not at its expected version. Nothing is then written.
  public func append(
    _ appends: [StreamAppend], metadata: EventMetadata, command: CommandKey? = nil
  ) async throws(AppendError) -> AppendResult {
    guard let tracer, let trace = metadata.traceparent.flatMap({ tracer.place($0) }) else {
      return try await appendUntraced(appends, metadata: metadata, command: command)
    }
    return try await tracer.measure { () throws(AppendError) in
      try await appendUntraced(appends, metadata: metadata, command: command)
    } span: { result, begun in
      var failure: String?
      // Not its words: they name streams and servers.
      if case .failure = result { failure = "it failed" }
      return Span(
        "append", .client, trace.child(), parent: trace.span, begun: begun,
        [
          ("db.system.name", "postgresql"), ("db.operation.name", "append"),
          ("annals.stream", .text(appends.first.map { "\($0.stream)" } ?? "")),
          ("annals.events", .number(Int64(appends.reduce(0) { $0 + $1.events.count }))),
        ], failure: failure)
    }
  }

  private func appendUntraced(
    _ appends: [StreamAppend], metadata: EventMetadata, command: CommandKey?
  ) async throws(AppendError) -> AppendResult {
    let count = appends.reduce(0) { $0 + $1.events.count }
    let least = command == nil ? 1 : 0
    guard (least...Self.maximumEvents).contains(count), appends.allSatisfy({ !$0.events.isEmpty }) else {
      throw .eventCount(count)
    }
    guard Set(appends.map(\.stream)).count == appends.count else { throw .sameStreamTwice }
    var call: Call
    do { call = try await Call(appends, metadata, command, personal) } catch { throw .personalData("\(error)") }
    var backoff = Backoff(first: .milliseconds(2), limit: .milliseconds(200))
    var wasInterrupted: ContinuousClock.Instant?
    while true {
      let failure: AppendError
      do throws(AppendError) {
        if wasInterrupted != nil {
          // The call before may still run on the server: from now on only a known version is written to. The tips are read
          // first: what is written after this look is a conflict.
          call.known = try await tips(of: call)
          if let result = try await result(of: call) { return result }
        }
        return try await send(call)
      } catch { failure = error }
      switch failure {
      case .versionConflict(let stream, _, _):
        // Another writer was faster between the look and the write: any version is still welcome. After an interruption it
        // may have been this call itself.
        if wasInterrupted != nil, let result = try await result(of: call) { return result }
        guard call.appends.contains(where: { $0.stream == stream && $0.expecting == .any }) else { throw failure }
      case .lostRace:
        if wasInterrupted != nil, let result = try await result(of: call) { return result }
        // Where versions are expected, the caller decides again.
        guard call.appends.allSatisfy({ $0.expecting == .any }) else { throw failure }
      // The call before holds its key still.
      case .commandRunning where wasInterrupted != nil: break
      case .database(let error) where error.isInterruption: wasInterrupted = wasInterrupted ?? .now
      case .database(let error) where wasInterrupted != nil && error.isRetriable: break
      default: throw failure
      }
      if let wasInterrupted {
        guard .now - wasInterrupted < Self.longestInterruption else { throw failure }
      } else {
        guard backoff.attempts < Self.maximumTries - 1 else { throw failure }
      }
      do { try await Task.sleep(for: backoff.next()) } catch { throw .database(.cancelled) }
    }
  }

  /// The first answer to a command; nil if none is known.
  ///
  /// - Throws: `commandDiffers` if the key was used for another request.
  public func answer(to key: String, request: [UInt8]) async throws(AppendError) -> [UInt8]? {
    do throws(PostgresError) {
      guard let row = try await pool.query(Self.findCommand, [.text(key)]).first else { return nil }
      if try row.get(0, as: [UInt8].self) == request { return try row.get(1, as: JSONText.self).bytes }
    } catch { throw .database(error) }
    throw .commandDiffers(key: key)
  }

  /// What is sent, in its stored form.
  private struct Call {
    let appends: [StreamAppend]
    let data: [[UInt8]]
    let metadata: [UInt8]
    /// nil: it is personal, and stored encoded.
    let actor: String?
    let traceparent: String?
    let command: CommandKey?
    /// The streams' versions that replace “any”, in the streams' order.
    var known: [StreamVersion]?

    init(
      _ appends: [StreamAppend], _ metadata: EventMetadata, _ command: CommandKey?, _ personal: PersonalFields
    ) async throws {
      (self.appends, self.command) = (appends, command)
      (actor, traceparent) = (personal.isOpen ? metadata.actor : nil, metadata.traceparent)
      guard !personal.isOpen else {
        (data, self.metadata) = (appends.flatMap { $0.events.map(\.data) }, metadata.json)
        return
      }
      var data: [[UInt8]] = []
      for append in appends {
        for event in append.events {
          data.append(try await personal.encodeData(event.data, type: event.type, in: append.stream))
        }
      }
      self.data = data
      guard let first = appends.first else {
        self.metadata = metadata.json
        return
      }
      self.metadata = try await personal.encodeMetadata(metadata.json, in: first.stream)
    }

    func expected(_ index: Int) -> Int64? {
      switch appends[index].expecting {
      case .any: known?[index].value
      case .noStream: 0
      case .exact(let version): version.value
      }
    }

    /// What the outbox's consumers need beside the event; null: nothing.
    var headers: Parameter {
      if actor == nil, traceparent == nil { return .null }
      var writer = JSONWriter(reserving: 96)
      writer.object {
        if let actor { $0.member("actor", actor) }
        if let traceparent { $0.member("traceparent", traceparent) }
      }
      return .json(writer.bytes)
    }
  }

  private func send(_ call: Call) async throws(AppendError) -> AppendResult {
    if call.appends.count == 1, call.data.count == 1, call.command == nil { return try await sendOne(call) }
    let appends = call.appends
    let events = appends.flatMap(\.events)
    let rows = try await query(
      Self.appendMany,
      [
        .texts(appends.map(\.stream.description)), .texts(appends.map(\.stream.category)),
        .texts(appends.map(\.stream.id)), .bigints(appends.indices.map(call.expected)),
        .integers(appends.enumerated().flatMap { number, append in append.events.map { _ in Int32(number + 1) } }),
        .uuids(events.map(\.id)), .texts(events.map(\.type)), .integers(events.map(\.schemaVersion)),
        .jsons(call.data), .texts(events.map { $0.change?.operation.rawValue }),
        .jsons(events.map { $0.change?.before }), .jsons(events.map { $0.change?.after }), .json(call.metadata),
        call.headers, call.command.map { .text($0.key) } ?? .null, call.command.map { .bytes($0.request) } ?? .null,
        call.command.map { .json($0.answer) } ?? .null,
      ])
    let outcome: String
    let versions: [Int64]
    do throws(PostgresError) {
      guard let row = rows.first else { throw .decoding(column: 0, expected: "there") }
      outcome = try row.get(0)
      versions = try row.optional(1, as: Bigints.self)?.values ?? []
      if outcome == "appended" || outcome == "replayed" {
        return AppendResult(
          versions: versions.map { StreamVersion($0) }, recordedAt: try row.optional(2) ?? Timestamp(microseconds: 0),
          replayed: try row.optional(3, as: JSONText.self)?.bytes)
      }
    } catch { throw .database(error) }
    let key = call.command?.key ?? ""
    switch outcome {
    case "running": throw .commandRunning(key: key)
    case "mismatch": throw .commandDiffers(key: key)
    case "archived": throw .archived(appends.map(\.stream))
    default:
      for (index, actual) in versions.enumerated() {
        if let expected = call.expected(index), expected != actual {
          throw .versionConflict(
            stream: appends[index].stream, expected: appends[index].expecting, actual: StreamVersion(actual))
        }
      }
      // A stream that may have any version has moved between the look and the write.
      throw .lostRace
    }
  }

  private func sendOne(_ call: Call) async throws(AppendError) -> AppendResult {
    let (append, event) = (call.appends[0], call.appends[0].events[0])
    let change = event.change
    let rows = try await query(
      Self.append,
      [
        .text(append.stream.description), .text(append.stream.category), call.expected(0).map { .bigint($0) } ?? .null,
        .uuid(event.id), .text(event.type), .integer(event.schemaVersion), .json(call.data[0]), .json(call.metadata),
        .text(append.stream.id), change.map { .text($0.operation.rawValue) } ?? .null,
        change?.before.map { .json($0) } ?? .null, change?.after.map { .json($0) } ?? .null, call.headers,
      ])
    let version: StreamVersion
    let outcome: String
    do throws(PostgresError) {
      guard let row = rows.first else { throw .decoding(column: 0, expected: "there") }
      outcome = try row.get(0)
      version = StreamVersion(try row.get(1))
      if outcome == "appended" {
        return AppendResult(versions: [version], recordedAt: try row.get(2), replayed: nil)
      }
    } catch { throw .database(error) }
    if outcome == "archived" { throw .archived([append.stream]) }
    throw .versionConflict(stream: append.stream, expected: append.expecting, actual: version)
  }

  private func query(_ query: Query, _ parameters: [Parameter]) async throws(AppendError) -> Rows {
    do { return try await pool.query(query, parameters) } catch {
      guard case .server(let server) = error else { throw .database(error) }
      switch server.sqlState {
      case "AN002":
        // One of several streams was changed between the look and the write.
        throw .lostRace
      case "AN004": throw .foreignServer(server.message + (server.hint.map { ". \($0)" } ?? ""))
      default: throw .database(error)
      }
    }
  }

  /// The result of a call whose answer was lost, if its events are in the log; nil if they are not, yet.
  private func result(of call: Call) async throws(AppendError) -> AppendResult? {
    if let command = call.command {
      let known = try await answer(to: command.key, request: command.request)
      return known.map { AppendResult(versions: [], recordedAt: Timestamp(microseconds: 0), replayed: $0) }
    }
    var versions: [StreamVersion] = []
    var recordedAt = Timestamp(microseconds: 0)
    do throws(PostgresError) {
      for append in call.appends {
        guard let last = append.events.last else { continue }
        let tip = try await tip(of: append.stream)
        let rows = try await pool.query(
          Self.recentEvent,
          [
            .text(append.stream.description), .bigint(max(0, tip.value - Int64(Self.maximumEvents * 10))),
            .uuid(last.id),
          ])
        guard let row = rows.first else { return nil }
        versions.append(StreamVersion(try row.get(0)))
        recordedAt = try row.get(1)
      }
    } catch { throw .database(error) }
    return AppendResult(versions: versions, recordedAt: recordedAt, replayed: nil)
  }

  private func tips(of call: Call) async throws(AppendError) -> [StreamVersion] {
    var tips: [StreamVersion] = []
    for append in call.appends {
      do throws(PostgresError) { tips.append(try await tip(of: append.stream)) } catch { throw .database(error) }
    }
    return tips
  }
}

extension PostgresError {
  /// True if nobody knows whether the statement was executed.
  fileprivate var isInterruption: Bool {
    switch self {
    case .connectionLost, .timedOut: true
    case .connecting, .server, .overloaded, .closed, .cancelled, .decoding: false
    }
  }
}

public enum AppendError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Another writer appended first, or the caller expected an outdated version.
  case versionConflict(stream: StreamID, expected: ExpectedVersion, actual: StreamVersion)
  /// One of several streams was changed while they were written.
  case lostRace
  /// One of the streams is archived.
  case archived([StreamID])
  case eventCount(Int)
  case sameStreamTwice
  /// The same command is being carried out by another call.
  case commandRunning(key: String)
  /// The command's key was used for another request.
  case commandDiffers(key: String)
  /// The server is not the one that the log belongs to (G10).
  case foreignServer(String)
  case personalData(String)
  case database(PostgresError)

  public var isRetriable: Bool {
    switch self {
    case .versionConflict, .lostRace, .commandRunning: true
    case .archived, .eventCount, .sameStreamTwice, .commandDiffers, .foreignServer, .personalData: false
    case .database(let error): error.isRetriable
    }
  }

  public var description: String {
    switch self {
    case .versionConflict(let stream, _, let actual):
      "stream \(stream) is at version \(actual), which was not expected: read the stream and decide again"
    case .lostRace: "another writer changed one of the streams: read them and decide again"
    case .archived(let streams):
      "archived and takes no more events: \(streams.map(\.description).joined(separator: ", "))"
    case .eventCount(let count):
      "an append must have 1 to \(EventStore.maximumEvents) events, and one at least for each stream, not \(count)"
    case .sameStreamTwice: "an append names a stream once: put all of its events together"
    case .commandRunning(let key): "a command with the key “\(key)” is running: wait for its answer, then ask again"
    case .commandDiffers(let key): "the key “\(key)” was used for another request: use a new key"
    case .foreignServer(let reason): reason
    case .personalData(let reason): "personal data cannot be stored: \(reason)"
    case .database(let error): "\(error)"
    }
  }
}
