import HTTPClient
import JSON
import Reactor
import Support
import Testing

/// Reads server-sent events from an answer.
struct EventReader {
  struct Event {
    var name = ""
    var id: String?
    var data = ""
    var json: JSONValue { get throws { try JSONValue(parsing: data) } }
  }
  let stream: HTTPStream
  private var text = ""

  init(_ stream: HTTPStream) { self.stream = stream }

  /// The next event; comments and the time of reconnecting are passed over. nil: the stream has ended.
  mutating func next() async throws -> Event? {
    while true {
      while let end = text.firstRange(of: "\n\n") {
        let block = text[..<end.lowerBound].split(separator: "\n")
        text = String(text[end.upperBound...])
        var event = Event()
        for line in block {
          if line.hasPrefix("event: ") { event.name = String(line.dropFirst(7)) }
          if line.hasPrefix("id: ") { event.id = String(line.dropFirst(4)) }
          if line.hasPrefix("data: ") { event.data += line.dropFirst(6) }
        }
        if !event.name.isEmpty { return event }
      }
      guard let bytes = try await stream.next() else { return nil }
      text += String(decoding: bytes, as: UTF8.self)
    }
  }

  mutating func next(_ count: Int) async throws -> [Event] {
    var events: [Event] = []
    while events.count < count, let event = try await next() { events.append(event) }
    return events
  }
}

@Suite("Server-sent events", .workLimit(minutes: 5)) struct EventStreamTests {
  private func open(
    _ annals: RunningAnnals, _ path: String, _ headers: [(name: String, value: String)] = []
  ) async throws -> (EventReader, HTTPResponseHead) {
    let stream = await annals.client.open(HTTPRequest(.get, annals.url + path, headers: headers, timeout: .seconds(60)))
    let head = try await stream.head()
    return (EventReader(stream), head)
  }

  @Test("of a document tell what happens from now on, go on after an event, and name a place that is not there")
  func ofDocument() async throws {
    try await withAnnals { annals in
      let id = try await annals.send(.post, "/documents", #"{"title":"Lease","content":"x"}"#).json["id"]?.string ?? ""
      var (reader, head) = try await open(annals, "/documents/\(id)/events")
      #expect(head.status == 200)
      #expect(head.header("content-type") == "text/event-stream")
      let begin = try #require(head.header("annals-last-event-id"))
      #expect(begin.hasPrefix("1-"))
      #expect(try await annals.send(.patch, "/documents/\(id)", #"{"status":"viewed"}"#).status == 200)
      let viewed = try #require(try await reader.next())
      #expect(viewed.name == "document.viewed")
      let json = try viewed.json
      #expect(json["type"] == "document.viewed" && json["timestamp"]?.integer ?? 0 > 1_700_000_000_000)
      #expect(
        json["data"]
          == [
            "id": .string(id), "title": "Lease", "old_status": "created", "new_status": "viewed", "version": 2,
            "actor": "alice",
          ])
      let signature =
        #"{"document_id":"\#(id)","signer_email":"a@b.de","signer_name":"A","signature_data":"aGk="}"#
      #expect(try await annals.send(.post, "/signatures", signature).status == 201)
      #expect(try await annals.send(.patch, "/documents/\(id)", #"{"title":"New"}"#).status == 200)
      let more = try await reader.next(3)
      #expect(more.map(\.name) == ["signature.given", "document.signed", "document.retitled"])
      #expect(try more[0].json["data"]?["signer_email"] == "a@b.de" && more[0].id == nil)
      reader.stream.cancel()
      // After an event: what came after it, once; the header goes before the query.
      (reader, head) = try await open(
        annals, "/documents/\(id)/events?last_event_id=\(begin)", [("Last-Event-ID", viewed.id ?? "")])
      #expect(head.header("annals-last-event-id") == viewed.id)
      let again = try await reader.next(3)
      #expect(again.map(\.data) == more.map(\.data) && again.map(\.id) == more.map(\.id))
      reader.stream.cancel()
      // An event that was never there: everything is sent, and the answer says so.
      (reader, head) = try await open(
        annals, "/documents/\(id)/events?last_event_id=2-01890a5d-ac96-774b-bcce-b302099a8057")
      #expect(head.header("annals-last-event-id") == "earliest")
      #expect(try await reader.next(5).map(\.name) == ["document.created", "document.viewed"] + more.map(\.name))
      #expect(try await annals.send(.delete, "/documents/\(id)").status == 204)
      #expect(try await reader.next()?.name == "document.deleted")
      reader.stream.cancel()
      #expect(try await annals.send(.get, "/documents/\(id)/events").status == 410)
      for path in ["/documents/01890a5d-ac96-774b-bcce-b302099a8057/events", "/documents/\(id)/events?last_event_id=x"]
      {
        let status = try await annals.send(.get, path).status
        #expect(status == (path.hasSuffix("x") ? 400 : 404))
      }
    }
  }

  @Test("of the log have each event once and in order, by category and type, through a burst and after a break")
  func ofLog() async throws {
    try await withAnnals { annals in
      var (reader, head) = try await open(annals, "/events?category=document&type=DocumentCreated,DocumentRetitled")
      #expect(head.header("annals-last-event-id") == "earliest")
      let count = 300
      let writer = Task {
        for number in 0..<count {
          let made = try await annals.send(.post, "/documents", #"{"title":"\#(number)"}"#)
          #expect(made.status == 201)
          if number % 10 == 0 {
            _ = try await annals.send(
              .patch, "/documents/\(made.json["id"]?.string ?? "")", #"{"status":"viewed","title":"again"}"#)
          }
        }
      }
      var events: [EventReader.Event] = []
      // The connection is given up in the midst, twice.
      for part in [100, 100, count + count / 10 - 200] {
        events += try await reader.next(part)
        reader.stream.cancel()
        (reader, head) = try await open(
          annals, "/events?category=document&type=DocumentCreated,DocumentRetitled",
          [("Last-Event-ID", events.last?.id ?? "")])
        #expect(head.header("annals-last-event-id") == events.last?.id)
      }
      try await writer.value
      reader.stream.cancel()
      let indexes = try events.map { try $0.json["index"]?.integer ?? -1 }
      #expect(indexes == indexes.sorted() && Set(indexes).count == events.count)
      #expect(Set(events.map(\.name)) == ["DocumentCreated", "DocumentRetitled"])
      let created = try events.filter { $0.name == "DocumentCreated" }.map { try $0.json["data"]?["title"]?.string }
      #expect(created == (0..<count).map { "\($0)" })
    }
  }
}
