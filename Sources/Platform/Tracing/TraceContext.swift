/// A place in a trace, by W3C Trace Context (level 1): which trace, and which span of it.
public struct TraceContext: Hashable, Sendable {
  /// Of the trace: two halves, not both zero.
  public let high, low: UInt64
  /// Of the span, not zero.
  public let span: UInt64
  /// Somebody wants to see this trace.
  public let isSampled: Bool

  public init(high: UInt64, low: UInt64, span: UInt64, isSampled: Bool) {
    (self.high, self.low, self.span, self.isSampled) = (high, low, span, isSampled)
  }

  /// The first span of a new trace.
  public static func new() -> TraceContext {
    TraceContext(high: .random(in: 1 ... .max), low: .random(in: 1 ... .max), span: newSpan(), isSampled: true)
  }

  /// Another span of the same trace.
  public func child() -> TraceContext {
    TraceContext(high: high, low: low, span: Self.newSpan(), isSampled: isSampled)
  }

  private static func newSpan() -> UInt64 { .random(in: 1 ... .max) }

  /// Reads the header `traceparent`. Later versions may have more behind the parts that are known.
  ///
  /// - Returns: nil if it is not one: it is then as if there was none.
  public init?(traceparent text: some StringProtocol) {
    let bytes = Array(text.utf8)
    guard bytes.count >= 55, bytes.count <= 256, bytes[2] == 0x2D, bytes[35] == 0x2D, bytes[52] == 0x2D,
      let version = Self.number(bytes[0..<2]), version != 0xFF, version == 0 ? bytes.count == 55 : true,
      bytes.count == 55 || bytes[55] == 0x2D, let high = Self.number(bytes[3..<19]),
      let low = Self.number(bytes[19..<35]), let span = Self.number(bytes[36..<52]),
      let flags = Self.number(bytes[53..<55]), high != 0 || low != 0, span != 0
    else { return nil }
    self.init(high: high, low: low, span: span, isSampled: flags & 1 == 1)
  }

  /// Of digits in lower case alone.
  private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
    var number: UInt64 = 0
    for digit in digits {
      switch digit {
      case 0x30...0x39: number = number << 4 | UInt64(digit - 0x30)
      case 0x61...0x66: number = number << 4 | UInt64(digit - 0x57)
      default: return nil
      }
    }
    return number
  }

  /// As the header has it.
  public var traceparent: String { "00-\(trace)-\(Self.digits(span))-0\(isSampled ? 1 : 0)" }

  /// The trace's 32 digits, as logs have them.
  public var trace: String { Self.digits(high) + Self.digits(low) }

  public static func digits(_ number: UInt64) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }

  /// Of the request that the present task works on; nil: it is not traced.
  @TaskLocal public static var current: TraceContext?
}
