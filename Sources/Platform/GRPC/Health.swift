import Synchronization

/// `grpc.health.v1.Health`: whether the server, or one of its services, takes calls.
final class Health: GrpcHealthV1Proto.HealthMethods {
  typealias Response = GrpcHealthV1Proto.HealthCheckResponse

  static let checkPath = "/grpc.health.v1.Health/Check"

  private struct State {
    var isServing = true
    var next = 0
    var watchers: [Int: AsyncStream<Bool>.Continuation] = [:]
  }
  private let names: Set<String>
  private let state = Mutex(State())

  /// - Parameter names: Of the services. The empty name is the server's.
  init(_ names: [String]) { self.names = Set(names + [""]) }

  func check(_ request: GrpcHealthV1Proto.HealthCheckRequest, _ call: RPCCall) async throws -> Response {
    guard names.contains(request.service) else {
      throw RPCError(.notFound, "there is no service “\(request.service.prefix(200))”")
    }
    return Response(status: state.withLock { $0.isServing } ? .serving : .notServing)
  }

  func watch(
    _ request: GrpcHealthV1Proto.HealthCheckRequest, _ call: RPCCall, _ responses: RPCResponses<Response>
  ) async throws {
    guard names.contains(request.service) else {
      // Not an error: the service may come later.
      try await responses.send(Response(status: .serviceUnknown))
      while true { try await Task.sleep(for: .seconds(3_600)) }
    }
    let (changes, watcher) = AsyncStream.makeStream(of: Bool.self, bufferingPolicy: .bufferingNewest(1))
    let number = state.withLock { state in
      state.next += 1
      state.watchers[state.next] = watcher
      watcher.yield(state.isServing)
      return state.next
    }
    defer { state.withLock { $0.watchers[number] = nil } }
    for await isServing in changes {
      // It stays open until the server stops: whoever heard “not serving” need not ask again and again.
      try await responses.send(Response(status: isServing ? .serving : .notServing))
    }
    throw CancellationError()
  }

  /// Says that it takes no more calls.
  func stop() {
    state.withLock { state in
      guard state.isServing else { return }
      state.isServing = false
      for watcher in state.watchers.values { watcher.yield(false) }
    }
  }
}
