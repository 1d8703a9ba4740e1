import Glibc
import JSON
import Time

/// Writes each line to standard error with one call, so that lines of several threads do not mix. The form is readable
/// text on a terminal, and one JSON object per line elsewhere.
public struct StandardErrorLog: LogHandler {
  public enum Form: String, CaseIterable, Sendable { case text, json }

  private let form: Form

  /// - Parameter form: nil: text if standard error is a terminal, JSON otherwise.
  public init(form: Form? = nil) { self.form = form ?? (isatty(STDERR_FILENO) == 1 ? .text : .json) }

  public func write(_ line: borrowing LogLine) {
    let bytes = form == .json ? Self.json(line) : Self.text(line)
    bytes.withUnsafeBytes { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  static func json(_ line: borrowing LogLine) -> [UInt8] {
    var writer = JSONWriter(reserving: 256)
    writer.object {
      $0.member("time", "\(Timestamp.now())")
      $0.member("level", line.level.rawValue)
      $0.member("label", line.label)
      $0.member("message", line.message)
      for (key, value) in line.metadata { $0.member(key.name, value) }
    }
    return writer.bytes + [UInt8(ascii: "\n")]
  }

  static func text(_ line: borrowing LogLine) -> [UInt8] {
    let time = "\(Timestamp.now())".dropFirst(11).prefix(12)
    let values = line.metadata.map { " \($0.key.name)=\($0.value)" }.joined()
    let colour =
      switch line.level {
      case .trace, .debug: "2"
      case .info, .notice: "0"
      case .warning: "33"
      case .error, .critical: "31"
      }
    let level = line.level.rawValue + String(repeating: " ", count: max(0, 8 - line.level.rawValue.count))
    return Array(
      "\u{1B}[2m\(time)\u{1B}[0m \u{1B}[\(colour)m\(level)\(line.message)\u{1B}[0m\u{1B}[2m\(values)\u{1B}[0m\n".utf8)
  }
}
