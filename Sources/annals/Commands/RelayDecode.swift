import CommandLine
import Files
import Relay

extension Commands {
  private static let recording = Option<String>(argument: "file", "The recording.")

  static let relayDecode = Command(
    "decode", "Print what recorded pgoutput messages hold, one line of JSON each.", options: [recording.description],
    examples: [
      (
        "annals relay decode FILE",
        "lines of LSN, transaction and hexadecimal bytes, as pg_logical_slot_peek_binary_changes() returns them"
      )
    ]
  ) { arguments in
    let path = arguments[recording]
    let text: String
    do { text = try File.text(path, limit: 1 << 30) } catch { throw UsageError("\(error)") }
    for (number, line) in text.split(separator: "\n").enumerated() {
      let fields = line.split(whereSeparator: { $0 == " " || $0 == "|" || $0 == "\t" })
      guard var digits = fields.last, fields.count >= 3 else {
        throw UsageError("\(path), line \(number + 1): LSN, transaction and bytes in hexadecimal are expected")
      }
      if digits.hasPrefix("\\x") { digits = digits.dropFirst(2) }
      let characters = Array(digits.utf8)
      let bytes = stride(from: 0, to: characters.count - 1, by: 2).compactMap { index in
        UInt8(String(decoding: characters[index...index + 1], as: UTF8.self), radix: 16)
      }
      guard bytes.count * 2 == characters.count else {
        throw UsageError("\(path), line \(number + 1): “\(digits.prefix(16))…” is not hexadecimal")
      }
      print(try PgOutputInspection.line(bytes))
    }
  }
}
