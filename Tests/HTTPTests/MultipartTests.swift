import HTTPServer
import Testing

@Suite("A form", .timeLimit(.minutes(1))) struct MultipartTests {
  private static let type = "multipart/form-data; boundary=\"b o\""

  /// Reads a form that arrives in pieces of a size. The pieces of a part are joined.
  private func read(_ text: [UInt8], piece: Int, type: String = type) throws -> [String] {
    var reader = try #require(try MultipartReader(contentType: type))
    var rest = text[...]
    var (parts, body, hasPart): ([String], [UInt8], Bool) = ([], [], false)
    func close() { if hasPart { parts[parts.count - 1] += String(decoding: body, as: UTF8.self) } }
    while true {
      switch try reader.next() {
      case .part(let head):
        close()
        (body, hasPart) = ([], true)
        parts.append("\(head.name)|\(head.filename ?? "-")|\(head.contentType ?? "-")|")
      case .bytes(let bytes):
        #expect(!bytes.isEmpty)
        body += bytes
      case .end:
        close()
        return parts
      case nil:
        if rest.isEmpty { reader.finish() } else { reader.feed(Array(rest.prefix(piece))) }
        rest = rest.dropFirst(piece)
      }
    }
  }

  private let form = Array(
    ("--b o\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nLe\r\n--b\r\nase\r\n"
      + "--b o \t\r\ncontent-disposition: FORM-DATA; Name=file; filename=\"C:\\dir\\\\a\\\"é.txt\"\r\nContent-Type: text/plain\r\n\r\n"
      + "\r\n\r\n--b\r\r\n--b o\r\nContent-Disposition: form-data; name=empty; filename*=UTF-8''%e2%82%ac.txt; filename=x\r\n\r\n"
      + "\r\n--b o--\r\nepilogue").utf8)

  @Test("is the same in pieces of any size", arguments: [1, 2, 3, 7, 64, 10_000])
  func pieces(_ piece: Int) throws {
    #expect(
      try read(form, piece: piece) == [
        "title|-|-|Le\r\n--b\r\nase", "file|C:\\dir\\a\"é.txt|text/plain|\r\n\r\n--b\r", "empty|€.txt|-|",
      ])
  }

  @Test("that is cut off anywhere is refused")
  func cut() throws {
    let whole = form.count - "--\r\nepilogue".utf8.count
    for count in 0..<whole {
      #expect(throws: MultipartReader.Malformed.self, "\(count)") { try read(Array(form.prefix(count)), piece: 50) }
    }
  }

  @Test(
    "that two readers could take apart differently is refused",
    arguments: [
      "x--b o--", "--b ox\r\n", "--b o\n", "--b o\r\n\r\nno head\r\n--b o--",
      "--b o\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b o--",
      "--b o\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b o--",
      "--b o\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nx\r\n--b o--",
      "--b o\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b o--",
      "--b o\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\nx\r\n--b o--",
      "--b o\r\nContent-Disposition: form-data;\r\n name=a\r\n\r\nx\r\n--b o--",
      "--b o\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--b o--",
      "--b o\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b oops\r\n",
    ])
  func ambiguous(_ text: String) {
    #expect(throws: MultipartReader.Malformed.self) { try read(Array(text.utf8), piece: 1_000) }
  }

  @Test("has limits on its parts and their heads")
  func limits() throws {
    let part = "--b o\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n"
    #expect(throws: MultipartReader.Malformed.self) {
      try read(Array((String(repeating: part, count: 65) + "--b o--").utf8), piece: 1_000)
    }
    #expect(throws: MultipartReader.Malformed.self) {
      try read(Array(("--b o\r\n" + String(repeating: "X: y\r\n", count: 2_000)).utf8), piece: 1_000)
    }
    #expect(throws: MultipartReader.Malformed.self) {
      let many = (0..<17).map { "a\($0)=x" }.joined(separator: ";")
      _ = try MultipartReader(contentType: "multipart/form-data; \(many); boundary=b")
    }
    for boundary in ["", String(repeating: "x", count: 71), "\"x \""] {
      #expect(throws: MultipartReader.Malformed.self) {
        try MultipartReader(contentType: "multipart/form-data; boundary=\(boundary)")
      }
    }
    #expect(throws: MultipartReader.Malformed.self) { try MultipartReader(contentType: "multipart/form-data") }
    let other = try MultipartReader(contentType: "application/json")
    if other != nil { Issue.record("JSON is no form") }
  }
}
