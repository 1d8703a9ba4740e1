import Events
import Glibc
import Identifiers
import Testing
import Time

/// A form in which an event was once written: `Fixtures/<category>/<type>.<schema version>[.<variant>].json`. Files are added,
/// never changed.
struct EventFixture {
  let name: String
  let type: String
  let version: Int32
  let data: [UInt8]

  var body: EventBody {
    EventBody(
      version: 1, id: .version7(), type: type, schemaVersion: version, data: data,
      recordedAt: Timestamp(microseconds: 0))
  }

  static func all(_ category: String) throws -> [EventFixture] {
    let folder = #filePath.split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/Fixtures/\(category)"
    let directory = try #require(opendir(folder), "no folder \(folder)")
    defer { closedir(directory) }
    var fixtures: [EventFixture] = []
    while let entry = readdir(directory) {
      let file = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      let parts = file.split(separator: ".")
      guard parts.count >= 3, parts.last == "json", let version = Int32(parts[1]) else { continue }
      let handle = try #require(fopen("\(folder)/\(file)", "r"))
      defer { fclose(handle) }
      var bytes = [UInt8](repeating: 0, count: 1 << 20)
      let count = fread(&bytes, 1, bytes.count, handle)
      let data = bytes[..<count].filter { $0 != UInt8(ascii: "\n") }
      fixtures.append(
        EventFixture(
          name: parts.dropLast().joined(separator: "."), type: String(parts[0]), version: version, data: Array(data)))
    }
    return fixtures.sorted { $0.name < $1.name }
  }

  /// Reads every fixture of an aggregate, and wants one for each schema version of each of its types.
  static func check<State: Aggregate>(_ aggregate: State.Type) throws {
    let fixtures = try all("\(State.category)")
    for fixture in fixtures {
      let event = try State.event(fixture.body, of: State.stream("x"))
      #expect(event.type == fixture.type, "\(fixture.name)")
      if State.Event.schemaVersions[fixture.type] == fixture.version {
        #expect(event.data == fixture.data, "\(fixture.name)")
      }
    }
    for (type, present) in State.Event.schemaVersions {
      for version in 1...present where !fixtures.contains(where: { $0.type == type && $0.version == version }) {
        Issue.record("no fixture of \(type), schema version \(version)")
      }
    }
  }
}
