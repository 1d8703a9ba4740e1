import Configuration
public import HTTPServer
public import Lifecycle
import Reactor

/// Serves routes on one or more reactors, on one port. Each reactor has a listener of its own.
public struct HTTPService: Service {
  public let name: String
  private let stopDelay: Duration
  private let reactor: Reactor
  private let listeners: [HTTPServer]

  /// - Parameters:
  ///   - options: With the address and port; limits and access log come from the settings.
  ///   - contexts: One for each reactor.
  ///   - isLimited: Clients may ask for as much as the settings allow.
  ///   - groups: The routes of one reactor.
  public init(
    _ options: HTTPServerOptions, name: String = "http", contexts: [Context],
    isLimited: Bool = false, groups: (Context) throws -> [RouteGroup]
  ) throws {
    self.name = name
    stopDelay = contexts[0].settings[HTTPSettings.stopDelay]
    reactor = contexts[0].reactor
    listeners = try contexts.map { context in
      HTTPServer(
        options,
        router: Router(
          try groups(context), middleware: [ErrorResponses(logger: context.logger)], access: Access(context),
          limits: isLimited ? Limits(context) : nil, tracer: isLimited ? context.tracer : nil),
        on: context.reactor, logger: context.logger, metrics: context.metrics)
    }
  }

  /// Listens; returns after the signal, when the requests under way have been answered.
  public func run(until stop: StopSignal) async throws {
    var started: [HTTPServer] = []
    do {
      for listener in listeners {
        try await listener.start(isFirst: started.isEmpty)
        started.append(listener)
      }
    } catch {
      await Self.shutdown(started)
      throw error
    }
    await stop.wait()
    do { try await reactor.sleep(for: stopDelay) } catch {
      // The group has cancelled its services: there is no time left to wait.
    }
    await Self.shutdown(listeners)
  }

  private static func shutdown(_ listeners: [HTTPServer]) async {
    await withTaskGroup { group in
      for listener in listeners { group.addTask { await listener.shutdown() } }
    }
  }
}
