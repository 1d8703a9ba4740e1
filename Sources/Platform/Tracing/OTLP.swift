import Protobuf
import Time

/// Spans as OpenTelemetry's protocol has them (OTLP 1, `ExportTraceServiceRequest`), in Protocol Buffers.
public enum OTLP {
  /// - Parameters:
  ///   - resource: What the process is: `service.name` and more.
  ///   - version: The program's.
  public static func export(
    _ spans: [Span], resource: [(name: String, value: Span.Value)], version: String
  ) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.message(1) { writer in
      writer.message(1) { $0.attributes(1, resource) }
      writer.message(2) { writer in
        writer.message(1) {
          $0.field(1, "annals", as: Protobuf.String.self)
          $0.field(2, version, as: Protobuf.String.self)
        }
        for span in spans { writer.message(2) { $0.span(span) } }
      }
    }
    return writer.bytes
  }
}

extension ProtobufWriter {
  fileprivate mutating func span(_ span: Span) {
    func bytes(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }
    let context = span.context
    field(1, bytes(context.high) + bytes(context.low), as: Protobuf.Bytes.self)
    field(2, bytes(context.span), as: Protobuf.Bytes.self)
    if let parent = span.parent { field(4, bytes(parent), as: Protobuf.Bytes.self) }
    field(5, span.name, as: Protobuf.String.self)
    field(6, Int32(span.kind.rawValue), as: Protobuf.Int32.self)
    field(7, UInt64(max(0, span.begun.microseconds)) * 1_000, as: Protobuf.Fixed64.self)
    field(8, UInt64(max(0, span.ended.microseconds)) * 1_000, as: Protobuf.Fixed64.self)
    attributes(9, span.attributes)
    if let failure = span.failure {
      message(15) {
        $0.field(2, failure, as: Protobuf.String.self)
        $0.field(3, 2, as: Protobuf.Int32.self)
      }
    }
  }

  fileprivate mutating func attributes(_ number: Int, _ attributes: [(name: String, value: Span.Value)]) {
    for attribute in attributes {
      message(number) { writer in
        writer.field(1, attribute.name, as: Protobuf.String.self)
        writer.message(2) {
          switch attribute.value {
          case .text(let text): $0.present(1, text, as: Protobuf.String.self)
          case .flag(let flag): $0.present(2, flag, as: Protobuf.Bool.self)
          case .number(let number): $0.present(3, number, as: Protobuf.Int64.self)
          }
        }
      }
    }
  }
}
