import Glibc
public import Reactor

/// Runs a program and returns what it printed.
///
/// - Parameter environment: nil: that of the tests.
public func output(
  of program: String, _ arguments: [String], environment: [String: String]? = nil, on reactor: Reactor
) async throws -> String {
  var ends: [Int32] = [0, 0]
  guard pipe(&ends) == 0 else { return "" }
  let (reading, writing) = (ends[0], ends[1])
  // Another test's program would keep the writing end open for as long as it runs.
  for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  let child = try await ChildProcess.start(
    program, arguments, environment: environment, output: writing, on: reactor)
  close(writing)
  let text = await Reactor.offLoop(.remote) {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while case let count = read(reading, &buffer, buffer.count), count > 0 { bytes += buffer[..<count] }
    close(reading)
    return String(decoding: bytes, as: UTF8.self)
  }
  _ = await child.wait()
  return text
}
