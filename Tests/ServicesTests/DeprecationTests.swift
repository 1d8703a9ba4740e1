import HTTPServer
import JSON
import Testing
import Time

@testable import Services

@Suite("What should not be used any more", .timeLimit(.minutes(1))) struct DeprecationTests {
  private let deprecation = Deprecation(since: "2026-11-27", end: "2027-11-30", instead: "New")

  @Test("is told to those who use it, with its end") func headers() async throws {
    let old = Input<String?>(header: "Old", "Old.").deprecated(deprecation)
    let route = Route(.get, "/a", "A.", right: .anyone, answers: [], old) { _, _ in .text("a") }
    #expect(try await respond([route], .get, "/a").headers.allSatisfy { $0.name != "Deprecation" })
    for answer in [
      try await respond([route], .get, "/a", headers: [("Old", "x")]),
      try await respond(
        [Route(.get, "/a", "A.", right: .anyone, answers: []) { _ in .text("a") }.deprecated(deprecation)], .get, "/a"),
    ] {
      func value(_ name: String) -> String? { answer.headers.first { $0.name == name }?.value }
      #expect(value("Deprecation") == "@1795737600")
      #expect(value("Sunset") == "Tue, 30 Nov 2027 00:00:00 GMT")
      #expect(value("Link") == #"</docs>; rel="deprecation"; title="use New""#)
    }
  }

  @Test("is described so") func description() throws {
    let old = Input<String?>(query: "old", "Old.").deprecated(deprecation)
    let route = Route(.get, "/a", "A.", right: .anyone, answers: [], old) { _, _ in .text("a") }.deprecated(deprecation)
    let operation = OpenAPI.document([RouteGroup("Test", routes: [route])], version: "1")["paths"]?["/a"]?["get"]
    #expect(operation?["deprecated"] == true)
    #expect(operation?["parameters"]?.array?.first?["deprecated"] == true)
  }

  @Test("ends at a time as HTTP has times") func dates() {
    #expect(Timestamp("1994-11-06T08:49:37Z")?.httpDate == "Sun, 06 Nov 1994 08:49:37 GMT")
  }
}
