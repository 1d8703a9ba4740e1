import Metrics
import Reactor
@testable import Relay
import Support

/// Starts a relay, runs `body` once it works, and stops it in good order, whatever became of `body`.
func whileRelaying<Value>(
  _ options: RelayOptions, on reactor: Reactor, _ body: (Relay) async throws -> Value
) async throws -> Value {
  let relay = try Relay(options, on: reactor, logger: quietLogger(), metrics: .init())
  let running = Task(executorPreference: reactor) { await relay.run() }
  let result: Result<Value, any Error>
  do {
    try await eventually("the relay works", on: reactor) { await relay.state == .streaming }
    result = .success(try await body(relay))
  } catch { result = .failure(error) }
  running.cancel()
  await running.value
  return try result.get()
}
