@testable import HTTPServer
import JSON

/// Feeds arbitrary bytes to what reads a client's bytes first: the request head, the form reader and the JSON reader.
/// Malformed input is an error value, never a trap; and what is read does not depend on how the bytes arrive.
///
/// An input is a byte that chooses the reader, then its text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  var input = Array(UnsafeBufferPointer(start: start, count: count))[...]
  guard let choice = input.popFirst() else { return 0 }
  switch choice % 3 {
  case 0: readHead(input)
  case 1: readForm(Array(input), piece: Int(choice) / 3 + 1)
  default: readJSON(Array(input))
  }
  return 0
}

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<Int32>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
  _ fuzz: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

/// The package manager makes this the program's entry, and so libFuzzer's own main function is not linked.
@_cdecl("http_fuzz_main")
public func run(_ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> Int32 {
  var (count, arguments) = (count, arguments)
  return runDriver(&count, &arguments, fuzz)
}

/// Method, target and version on the first line, then headers, as libmicrohttpd hands them over.
private func readHead(_ input: ArraySlice<UInt8>) {
  let lines = input.split(separator: 10, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
  let first = lines[0].split(separator: " ", omittingEmptySubsequences: false).map { String($0) }
  guard first.count == 3 else { return }
  var headers = Headers()
  for line in lines.dropFirst() {
    let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    headers.append(String(parts[0]), parts.count == 2 ? String(parts[1]) : "")
  }
  guard let head = try? RequestHead(method: first[0], version: first[2], target: first[1], headers: headers) else {
    return
  }
  precondition((head.contentLength ?? 0) >= 0)
  precondition(head.request.path.allSatisfy { $0 != ".." && $0 != "." && !$0.contains("/") })
  var router = Router()
  router.on(.get, "/a/{b}/c") { _ in .text("") }
  router.on(.get, "/{x}/b") { _ in .text("") }
  _ = router.match(head.request)
}

private func readForm(_ input: [UInt8], piece: Int) {
  let whole = form(input, piece: max(1, input.count))
  precondition(form(input, piece: piece) == whole, "the pieces make a difference")
}

/// The parts with their bytes joined; nil if the form is refused.
private func form(_ input: [UInt8], piece: Int) -> [String: [[UInt8]]]? {
  guard var reader = try? MultipartReader(contentType: "multipart/form-data; boundary=b") else { return nil }
  var (rest, parts, name) = (input[...], [String: [[UInt8]]](), "")
  do {
    while true {
      switch try reader.next() {
      case .part(let head):
        name = "\(head)"
        parts[name, default: []].append([])
      case .bytes(let bytes): parts[name]![parts[name]!.count - 1] += bytes
      case .end: return parts
      case nil:
        if rest.isEmpty { reader.finish() } else { reader.feed(Array(rest.prefix(piece))) }
        rest = rest.dropFirst(piece)
      }
    }
  } catch { return nil }
}

private func readJSON(_ input: [UInt8]) {
  guard let value = try? JSONValue(parsing: input, maximumValues: 10_000) else { return }
  guard let again = try? JSONValue(parsing: value.bytes) else { preconditionFailure("written JSON cannot be read") }
  precondition(again == value, "written JSON is another value")
}
