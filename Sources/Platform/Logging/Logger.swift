import Synchronization

/// The severity of a log line, with swift-log's names.
public enum LogLevel: String, CaseIterable, Comparable, Sendable {
  case trace, debug, info, notice, warning, error, critical

  public static func < (left: LogLevel, right: LogLevel) -> Bool {
    allCases.firstIndex(of: left)! < allCases.firstIndex(of: right)!
  }
}

/// A destination of log lines. `write` either writes the line before it returns, or drops it. It never waits for a
/// network.
public protocol LogHandler: Sendable {
  func write(_ line: borrowing LogLine)
}

/// One line on its way to a handler.
public struct LogLine: Sendable {
  public let level: LogLevel
  public let label: String
  public let message: String
  public let metadata: [(key: LogKey, value: String)]
}

/// The name of a metadata value. Keys are declared as static members, next to what they describe, so that one thing has
/// one name in all logs.
public struct LogKey: Hashable, Sendable, ExpressibleByStringLiteral {
  public let name: String
  public init(stringLiteral name: StaticString) { self.name = "\(name)" }
}

extension LogKey {
  public static let error: LogKey = "error"
  public static let count: LogKey = "count"
  public static let host: LogKey = "host"
  public static let attempt: LogKey = "attempt"
  public static let delay: LogKey = "delay"
  /// The trace that a line belongs to, by W3C Trace Context.
  public static let trace: LogKey = "trace_id"
}

/// Writes lines under a label. Messages are static sentences; variable values go into metadata.
public struct Logger: Sendable {
  public let label: String
  public var level: LogLevel
  private let handler: any LogHandler
  private var metadata: [(key: LogKey, value: String)] = []

  public init(label: String, level: LogLevel = .info, handler: any LogHandler) {
    (self.label, self.level, self.handler) = (label, level, handler)
  }

  /// Returns a logger for a component: `annals` becomes `annals.relay`.
  public func labelled(_ part: String) -> Logger {
    var logger = Logger(label: "\(label).\(part)", level: level, handler: handler)
    logger.metadata = metadata
    return logger
  }

  /// Returns a logger that adds `value` to each line.
  public func with(_ key: LogKey, _ value: String) -> Logger {
    var logger = self
    logger.metadata.append((key, value))
    return logger
  }

  public func log(
    _ level: LogLevel, _ message: StaticString, _ values: @autoclosure () -> KeyValuePairs<LogKey, String> = [:]
  ) {
    guard level >= self.level else { return }
    handler.write(
      LogLine(
        level: level, label: label, message: "\(message)",
        metadata: metadata + values().map { ($0.key, $0.value) }))
  }

  public func debug(
    _ message: StaticString, metadata: @autoclosure () -> KeyValuePairs<LogKey, String> = [:]
  ) { log(.debug, message, metadata()) }

  public func info(
    _ message: StaticString, metadata: @autoclosure () -> KeyValuePairs<LogKey, String> = [:]
  ) { log(.info, message, metadata()) }

  public func notice(
    _ message: StaticString, metadata: @autoclosure () -> KeyValuePairs<LogKey, String> = [:]
  ) { log(.notice, message, metadata()) }

  public func warning(
    _ message: StaticString, metadata: @autoclosure () -> KeyValuePairs<LogKey, String> = [:]
  ) { log(.warning, message, metadata()) }

  public func error(
    _ message: StaticString, metadata: @autoclosure () -> KeyValuePairs<LogKey, String> = [:]
  ) { log(.error, message, metadata()) }
}

/// Keeps lines in memory, newest last: for tests that read the log.
public final class LogRecorder: LogHandler {
  private let kept = Mutex<[LogLine]>([])
  public init() {}
  public var lines: [LogLine] { kept.withLock { $0 } }
  public func write(_ line: borrowing LogLine) { kept.withLock { [line = copy line] in $0.append(line) } }
}
