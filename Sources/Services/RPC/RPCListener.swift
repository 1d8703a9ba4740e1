import Logging
import Reactor
import Configuration
public import GRPC
public import Lifecycle

/// Listens for gRPC: one port, whose calls go round the reactors.
public struct RPCListener: Service {
  public let name = "grpc"
  private let contexts: [Context]
  private let calls: @Sendable (Context) throws -> [RPCService]

  /// - Parameters:
  ///   - contexts: One for each reactor.
  ///   - calls: The services of one reactor.
  public init(
    _ contexts: [Context], calls: @escaping @Sendable (Context) throws -> [RPCService]
  ) {
    (self.contexts, self.calls) = (contexts, calls)
    RPCServer.declare(contexts[0].metrics)
  }

  /// Returns after the signal, when the calls under way have ended.
  public func run(until stop: StopSignal) async throws {
    let first = contexts[0]
    let server = try RPCServer(
      RPCServerOptions(
        address: first.settings[HTTPSettings.address], port: first.settings[RemoteCalls.port],
        longestCall: first.settings[HTTPSettings.handlerTimeout]),
      services: try contexts.map { ($0.reactor, try calls($0)) }, logger: first.logger, metrics: first.metrics
    ) { [logger = first.logger.labelled("grpc")] error in
      let status = RPCError(describing: error)
      if [.internal, .unavailable].contains(status.code) {
        // A server's own words go to the log, never to the client.
        logger.warning("A call failed", metadata: ["code": "\(status.code)", .error: "\(error)"])
      }
      return status
    }
    await stop.wait()
    server.announceStop()
    do { try await first.reactor.sleep(for: first.settings[HTTPSettings.stopDelay]) } catch {
      // The group has cancelled its services: there is no time left to wait.
    }
    await server.shutdown(grace: first.settings[HTTPSettings.drainTimeout], on: first.reactor)
  }
}
