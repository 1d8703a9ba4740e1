import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Logging
import Metrics
import Reactor
import Time
import Tracing
import WebSocket

/// What a socket tells of, message by message, from some place on and without a gap. One task uses it, on its reactor.
protocol SocketFeed: AnyObject {
  /// Where it goes on; nil: from the beginning, or from an event that is not known.
  var cursor: StreamCursor? { get }

  /// What comes next, at most after some time.
  func step(within timeout: Duration, isolation: isolated (any Actor)?) async throws -> SocketStep

  /// Whoever waits for the next step is told that the feed is closed.
  func wake()

  func close()
}

enum SocketStep: Sendable {
  struct Message: Sendable {
    let frame: WebSocketFrame
    /// Going on after it begins with the next message.
    let cursor: StreamCursor
    /// It is the last of its event's: a place between two of one event is none.
    let isLast: Bool
    /// The trace of the request that caused it.
    var trace: TraceContext?
    /// When it happened.
    var at = Timestamp(microseconds: 0)
  }

  case messages([Message])
  /// Nothing came in time.
  case nothing
  /// The caller may not see it any more.
  case hidden
  /// The event that was handed over last is not in the log any more.
  case diverged
  case closed
}

extension DocumentFeed: SocketFeed {
  func step(within timeout: Duration, isolation: isolated (any Actor)?) async throws -> SocketStep {
    switch try await next(within: timeout) {
    case .messages(let messages):
      .messages(
        messages.map {
          SocketStep.Message(frame: $0.frame, cursor: $0.cursor, isLast: $0.isLast, trace: $0.trace, at: $0.what.at)
        })
    case .nothing: .nothing
    case .hidden: .hidden
    case .diverged: .diverged
    case .closed: .closed
    }
  }
}

/// `/ws/{id}`, `/ws/searches`: what happens to a document, and what saved searches find, as messages on a WebSocket.
struct Sockets: Sendable {
  private let store: EventStore
  private let hub: EventHub
  private let cache: MessageCache
  private let reactor: Reactor
  private let logger: Logger
  private let metrics: MetricsRegistry
  private let tracer: Tracer

  /// Codes of a close, beyond those of RFC 6455.
  private enum Code {
    static let tokenEnded: UInt16 = 4001
    static let hidden: UInt16 = 4003
    static let tooSlow: UInt16 = 4008
    static let diverged: UInt16 = 4009
  }

  /// While more than this waits for the client, the document is not read on: the log is the buffer.
  private static let lowWater = 64 << 10
  /// How long a client may take nothing.
  private static let patience = Duration.seconds(10)
  /// How often a socket is looked at whose document is at rest.
  private static let look = Duration.seconds(15)

  init(
    _ store: EventStore, hub: EventHub, cache: MessageCache, on reactor: Reactor, logger: Logger,
    metrics: MetricsRegistry, tracer: Tracer
  ) {
    self.tracer = tracer
    (self.store, self.hub, self.cache, self.reactor) = (store, hub, cache, reactor)
    (self.logger, self.metrics) = (logger.labelled("sockets"), metrics)
    metrics.declare(.counter, Self.closes, labels: ["code"], help: Self.closesHelp)
  }

  var group: RouteGroup {
    RouteGroup(
      "Sockets",
      routes: [
        Route(
          .get, "/ws/{id}", "A WebSocket with what happens to a document.", right: .view, takesTokenInQuery: true,
          answers: [Answer(101, "Messages in JSON: type, data, timestamp, cursor.")], DocumentInputs.id,
          Input<Int64?>(query: "from_version", "Send what came after this version of the document first."),
          Input<StreamCursor?>(query: "from", "Send what came after the message with this cursor first."),
          handler: openDocument),
        Route(
          .get, "/ws/searches", "A WebSocket with what the caller's saved searches find.", right: .identified,
          takesTokenInQuery: true, answers: [Answer(101, "Messages in JSON: type, data, timestamp, cursor.")],
          Input<StreamCursor?>(query: "from", "Send what was found after the message with this cursor first."),
          handler: openSearches),
      ])
  }

  @Sendable
  private func openDocument(
    _ request: Request, _ id: UUID, _ version: Int64?, _ cursor: StreamCursor?
  ) async throws -> Response {
    let accept = try Self.accept(request)
    let (start, caller) = (try await DocumentFeed.start(id, version, cursor, store), request.caller)
    return answer(accept, caller, "document \(id)") {
      DocumentFeed(id, after: start, for: caller, store: store, hub: hub, cache: cache, on: reactor)
    }
  }

  @Sendable
  private func openSearches(_ request: Request, _ cursor: StreamCursor?) async throws -> Response {
    let accept = try Self.accept(request)
    guard let start = try await HitFeed.start(cursor, store) else {
      throw Problem(
        409, "Conflict", detail: "the log does not have the event of this cursor: connect without it", field: "from")
    }
    let caller = request.caller
    return answer(accept, caller, "searches of \(caller.owner)") {
      HitFeed(after: start, for: caller, store: store, hub: hub, on: reactor)
    }
  }

  private static func accept(_ request: Request) throws(Problem) -> String {
    guard request.method == .get else {
      throw Problem(405, "Method not allowed", detail: "a WebSocket begins with GET", headers: [("Allow", "GET")])
    }
    return try handshake(request)
  }

  /// - Parameters:
  ///   - what: What the socket tells of, for the log.
  ///   - feed: Made on the reactor.
  private func answer(
    _ accept: String, _ caller: Caller, _ what: String, _ feed: @escaping @Sendable () -> any SocketFeed
  ) -> Response {
    Response(
      101, headers: [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", accept)],
      body: .upgrade { connection in
        // The server has started this on the reactor's executor; the loop's own thread is needed as well.
        await reactor.run { await follow(connection, caller, what, feed) }
      })
  }

  private static func handshake(_ request: Request) throws(Problem) -> String {
    do {
      return try WebSocketHandshake.accept { name in
        let values = request.headers.fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
        return values.isEmpty ? nil : values.joined(separator: ",")
      }
    } catch {
      let headers = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
      throw error == .key
        ? Problem(400, "Bad request", detail: "\(error)", field: "Sec-WebSocket-Key")
        : Problem(426, "Upgrade required", detail: "\(error)", headers: headers)
    }
  }

  private func follow(
    _ connection: UpgradedConnection, _ caller: Caller, _ what: String, _ make: () -> any SocketFeed
  ) async {
    let socket: WebSocket
    do { socket = try WebSocket(connection.descriptor, extra: connection.extra, on: reactor) } catch {
      logger.warning("A socket cannot be watched", metadata: [.error: "\(error)"])
      return
    }
    let feed = make()
    // Its end wakes whoever waits for what comes next.
    socket.onEnd = { feed.wake() }
    do { try await pass(feed, to: socket, caller, what) } catch {
      if Task.isCancelled {
        end(socket, WebSocket.Code.goingAway, "the server stops: connect again")
      } else {
        logger.warning("A socket is closed", metadata: ["what": "\(what)", .error: "\(error)"])
        end(socket, WebSocket.Code.internalError, "the log cannot be read: connect again")
      }
    }
    feed.close()
    // Until the client has answered the close.
    while socket.end == nil {
      do { try await reactor.sleep(for: .milliseconds(50)) } catch { break }
    }
    socket.finish()
  }

  private static let closes = "annals_sockets_closed_total"
  private static let closesHelp = "Sockets that the server has closed, by the code of the close."

  private func end(_ socket: WebSocket, _ code: UInt16, _ reason: String) {
    metrics.counter(Self.closes, ["code": "\(code)"], help: Self.closesHelp).increment()
    socket.close(code, reason)
  }

  private func pass(
    _ feed: any SocketFeed, to socket: WebSocket, _ caller: Caller, _ what: String,
    isolation: isolated (any Actor)? = #isolation
  ) async throws {
    // After this one the client has everything: the message behind it is the first that is missing.
    var last = feed.cursor
    func tooSlow() {
      let place = last.map { "from=\($0.text)" } ?? "from_version=0"
      end(socket, Code.tooSlow, "too slow: connect again with \(place)")
    }
    while socket.end == nil {
      if socket.waiting > Self.lowWater {
        guard ContinuousClock.now - socket.lastTaken < Self.patience else { return tooSlow() }
        try await reactor.sleep(for: .milliseconds(50))
        continue
      }
      let left = caller.left
      guard left > .zero else { return end(socket, Code.tokenEnded, "the token has ended: connect with another one") }
      switch try await feed.step(within: min(Self.look, left), isolation: isolation) {
      case .closed:
        if socket.end == nil { end(socket, WebSocket.Code.goingAway, "the server stops: connect again") }
        return
      case .hidden: return end(socket, Code.hidden, "the document is not shared with you any more")
      case .nothing: break
      case .messages(let messages):
        for message in messages {
          // What a page has fits: before each there is room for it, beside one that is larger than all the room.
          guard socket.send(message.frame) else { return tooSlow() }
          if let trace = message.trace, trace.isSampled {
            tracer.told(trace, by: "socket", what, caller, at: message.at)
          }
          if message.isLast { last = message.cursor }
        }
      case .diverged:
        return end(socket, Code.diverged, "the log has lost its end: read the document again, and connect")
      }
      socket.look()
    }
  }
}
