import Glibc
import Protobuf

/// `protoc --plugin=protoc-gen-annals --annals_out=imports=GRPC:DIR FILES`: reads a request on standard input, writes
/// a response to standard output.
@main
enum Main {
  static func main() {
    let response = response(to: read())
    write(response.protobuf)
  }

  private static func response(to bytes: [UInt8]) -> GeneratorResponse {
    do {
      let request = try GeneratorRequest(protobuf: bytes)
      var files: [(FileDescriptor, bare: [UInt8])] = []
      for bytes in request.files {
        files.append((try FileDescriptor(protobuf: bytes), try BareFile(protobuf: bytes).protobuf))
      }
      let parameters = request.parameter.split(separator: ",").filter { $0.hasPrefix("imports=") }
      let imports = parameters.flatMap { $0.dropFirst("imports=".count).split(separator: "+").map { String($0) } }
      var generator = Generator(files.map(\.0), imports: imports)
      var response = GeneratorResponse()
      for (file, bare) in files where request.names.contains(file.name) {
        response.files.append(
          .init(name: name(file.name), content: try generator.emit(file, descriptor: bare)))
      }
      return response
    } catch { return GeneratorResponse(error: "\(error)") }
  }

  /// `grpc/health/v1/health.proto` → `grpc.health.v1.health.pb.swift`
  private static func name(_ file: String) -> String {
    let path = file.hasSuffix(".proto") ? String(file.dropLast(".proto".count)) : file
    return path.split(separator: "/").joined(separator: ".") + ".pb.swift"
  }

  private static func read() -> [UInt8] {
    var (all, chunk): ([UInt8], [UInt8]) = ([], [UInt8](repeating: 0, count: 65_536))
    while case let count = Glibc.read(STDIN_FILENO, &chunk, chunk.count), count > 0 { all += chunk[..<count] }
    return all
  }

  private static func write(_ bytes: [UInt8]) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress! + sent, bytes.count - sent) }
      guard count > 0 else { exit(1) }
      sent += count
    }
  }
}
