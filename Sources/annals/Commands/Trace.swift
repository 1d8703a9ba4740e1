import CommandLine
import EventStore
import Events
import Postgres
import Services
import Time
import Tracing

extension Commands {
  private static let document = Option<String>(
    argument: "document", default: "", "The document's id, or a stream: signature-….")
  private static let version = Option<Int>(
    "version", default: 0, "Which of its writes; the newest one that was traced if it is missing.")

  private static let mostSpans = 10_000

  static let trace = Command(
    "trace", "Show where the time of a write went, step by step.",
    options: [document.description, version.description],
    examples: [
      ("annals trace 01890a5d-ac96-774b-bcce-b302099a8057", "its newest write that was traced"),
      ("annals trace 01890a5d-ac96-774b-bcce-b302099a8057 --version 3", "the one that made version 3"),
    ]
  ) { arguments in
    let name = arguments[document]
    guard !name.isEmpty else { throw UsageError("name a document: annals trace ID") }
    guard let stream = StreamID(name.contains("_") || name.hasPrefix("signature-") ? name : "document-\(name)") else {
      throw UsageError("“\(name)” is not a document's id")
    }
    try await Runtime(arguments).run("trace") { context in
      try await context.requireSchema()
      try await context.pool.start(connections: 1)
      let event = try await event(of: stream, version: arguments[version], context.store)
      let spans = try await KeptSpans(context.pool).spans(of: event.trace, limit: mostSpans + 1)
      print("\(stream) version \(event.recorded.version), \(event.recorded.type), trace \(event.trace.trace)")
      guard !spans.isEmpty else {
        print("no span of this trace is kept: they are deleted after tracing.keep, and dropped above tracing.rate")
        leave(1)
      }
      print(Waterfall(Array(spans.prefix(mostSpans)), recorded: event.recorded).text)
      if spans.count > mostSpans { print("only the first \(mostSpans) steps are shown") }
    }
  }

  /// The write that is shown, and its trace.
  private static func event(
    of stream: StreamID, version: Int, _ store: EventStore
  ) async throws -> (recorded: RecordedEvent, trace: TraceContext) {
    func trace(_ event: RecordedEvent) throws -> TraceContext? {
      try event.metadata.traceparent.flatMap { TraceContext(traceparent: $0) }
    }
    let before = version > 0 ? StreamVersion(Int64(min(version, 1 << 62)) + 1) : nil
    let events = try await store.readBackward(stream, before: before, limit: version > 0 ? 1 : 100).events
    guard let newest = events.first, version == 0 || newest.version.value == version else {
      throw UsageError(version > 0 ? "\(stream) has no version \(version)" : "the log has no stream \(stream)")
    }
    for event in events { if let trace = try trace(event), trace.isSampled { return (event, trace) } }
    throw UsageError(
      version > 0
        ? "version \(version) was not traced: send a traceparent with the request, or set tracing.sample"
        : "none of the last \(events.count) writes was traced: send a traceparent with the request, or set tracing.sample"
    )
  }
}

/// The steps of a trace, one on each line: when it began, how long it took, what it was.
struct Waterfall {
  let text: String

  init(_ entries: [KeptSpans.Entry], recorded: RecordedEvent) {
    let start = entries.map(\.span.begun.microseconds).min() ?? 0
    let end = entries.map(\.span.ended.microseconds).max() ?? 0
    var depths: [UInt64: Int] = [:]
    var rows: [(at: Int64, text: String)] = []
    for entry in entries {
      let span = entry.span
      let depth = span.parent.flatMap { depths[$0] }.map { $0 + 1 } ?? 0
      depths[span.context.span] = depth
      let took = span.ended.microseconds - span.begun.microseconds
      let details = span.attributes.compactMap { Self.detail($0.name, $0.value) }.joined(separator: ", ")
      let failure = span.failure.map { "  FAILED: \($0)" } ?? ""
      rows.append(
        (
          span.begun.microseconds,
          Self.milliseconds(span.begun.microseconds - start) + Self.milliseconds(took) + "  "
            + String(repeating: "  ", count: depth) + span.name + (details.isEmpty ? "" : "  (\(details))") + failure
            + "  [\(entry.process)]"
        ))
    }
    let at = recorded.recordedAt.microseconds
    rows.append((at, Self.milliseconds(at - start) + "         -  recorded by Postgres"))
    text =
      "     at ms   took ms\n" + rows.sorted { $0.at < $1.at }.map(\.text).joined(separator: "\n")
      + "\n" + Self.milliseconds(end - start) + "            until the last step ended"
  }

  /// Right-aligned, with three places.
  private static func milliseconds(_ microseconds: Int64) -> String {
    let places = String(abs(microseconds) % 1_000)
    let text =
      (microseconds < 0 ? "-" : "") + "\(abs(microseconds) / 1_000)."
      + String(repeating: "0", count: 3 - places.count) + places
    return String(repeating: " ", count: max(0, 10 - text.count)) + text
  }

  private static func detail(_ name: String, _ value: Span.Value) -> String? {
    let text =
      switch value {
      case .text(let text): text
      case .number(let number): "\(number)"
      case .flag(let flag): "\(flag)"
      }
    return switch name {
    case "annals.view": "view \(text)"
    case "annals.told": text
    case "annals.webhook": "webhook \(text)"
    case "http.response.status_code": text == "0" ? "no answer" : text
    case "messaging.destination.partition.id": "partition \(text)"
    case "messaging.kafka.offset": "offset \(text)"
    case "server.address": text
    default: nil
    }
  }
}
