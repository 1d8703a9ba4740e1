import S3
import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Reactor

/// Versions of a document: their names, what differs between two of them, and the way back.
struct VersionRoutes: Sendable {
  private let documents: DocumentService

  init(_ documents: DocumentService) { self.documents = documents }

  /// Contents are compared line by line up to this size.
  private static let maximumCompared = 256 << 10
  /// So many lines may differ or lie between those that do: the comparison's memory and time grow with the square.
  private static let maximumLines = 1_500

  var group: RouteGroup {
    RouteGroup(
      "Versions",
      routes: [
        Route(
          .get, "/documents/{id}/versions", "The versions that have a label, the newest first.", right: .audit,
          answers: [Answer(200, "The labels.", schema: Self.labelsSchema)], DocumentInputs.id
        ) { _, id in
          Self.labels(try await documents.existing(id))
        },
        Route(
          .put, "/documents/{id}/versions/{version}/label", "Name a version.", right: .own,
          body: .fields(limit: 8_192, example: #"{"label": "as signed"}"#),
          answers: [Answer(200, "All labels.", schema: Self.labelsSchema)], DocumentInputs.id, Self.version,
          Input<String>(
            field: "label", schema: .string(minLength: 1, maxLength: Document.maximumLabel), "The version's name."),
          DocumentInputs.ifMatch
        ) { request, id, version, label, tag in
          Self.labels(
            try await documents.label(
              id, StreamVersion(version), label, expecting: tag?.version, metadata: request.metadata()))
        },
        Route(
          .delete, "/documents/{id}/versions/{version}/label", "Take a version's name away.", right: .own,
          answers: [Answer(200, "The labels that are left.", schema: Self.labelsSchema)], DocumentInputs.id,
          Self.version, DocumentInputs.ifMatch
        ) { request, id, version, tag in
          Self.labels(
            try await documents.label(
              id, StreamVersion(version), nil, expecting: tag?.version, metadata: request.metadata()))
        },
        Route(
          .post, "/documents/{id}/restore", "Make an earlier content the present one, as a new version.", right: .own,
          body: .fields(limit: 8_192, example: #"{"version": 3}"#),
          answers: [Answer(200, "The document.", schema: Document.schema)],
          DocumentInputs.id, Input<Int64>(field: "version", "The version whose content is wanted."),
          DocumentInputs.ifMatch
        ) { request, id, version, tag in
          let document = try await documents.restore(
            id, StreamVersion(version), expecting: tag?.version, metadata: request.metadata())
          return .json(document.rowImage, headers: DocumentRoutes.headers(of: document))
        },
        Route(
          .get, "/documents/{id}/compare", "What differs between two versions.", right: .audit,
          answers: [Answer(200, "The differences.", schema: Self.comparisonSchema)], DocumentInputs.id,
          Input<Int64?>(query: "from", "The one version."),
          Input<Int64?>(query: "to", "The other; the newest if it is missing."),
          handler: compare),
      ])
  }

  private static let version = Input<Int64>(path: "version", "The version.")

  private static let labelsSchema = JSONSchema.object([
    .init("document_id", .string(format: "uuid")),
    .init("versions", .array(.object([.init("version", .integer), .init("label", .string())]))),
  ])

  private static let comparisonSchema = JSONSchema.object([
    .init("document_id", .string(format: "uuid")), .init("from", .integer), .init("to", .integer),
    .init(
      "changes", .array(.object([.init("field", .string()), .init("before", .any), .init("after", .any)])),
      "Fields of the row."),
    .init("content_changed", .boolean),
    .init(
      "lines",
      .nullable(
        .array(
          .object([
            .init("change", .string(values: ["removed", "added"])),
            .init(
              "line", .integer, "Its number in the older text if it was removed, in the newer one if it was added."),
            .init("text", .string()),
          ]))),
      "null: one of the contents is no text, or too large (256 KiB; 1,500 lines from the first difference to the last)."
    ),
  ])

  private static func labels(_ document: Document) -> Response {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("document_id", document.id.description)
      writer.objects("versions", of: document.labels.sorted(by: { $0.key > $1.key })) { writer, entry in
        let (version, label) = entry
        writer.member("version", version.value)
        writer.member("label", label)
      }
    }
    return .json(writer.bytes, headers: DocumentRoutes.headers(of: document))
  }

  @Sendable
  private func compare(_ request: Request, _ id: UUID, _ from: Int64?, _ to: Int64?) async throws -> Response {
    guard let from else {
      throw Problem(400, "Malformed query", detail: "from is missing: which version is compared?", field: "from")
    }
    let now = try await documents.existing(id)
    let (first, second) = (StreamVersion(from), to.map { StreamVersion($0) } ?? now.version)
    func state(_ version: StreamVersion) async throws -> Document {
      guard version > .none, version <= now.version,
        let state = try await documents.document(id, asOf: .version(version))
      else { throw DocumentRefusal.noSuchVersion(version) }
      return state
    }
    let (before, after) = (try await state(first), try await state(second))
    let changes = FieldChange.between(
      try JSONValue(parsing: before.rowImage).object, try JSONValue(parsing: after.rowImage).object)
    let lines = before.content?.hash == after.content?.hash ? [] : try await difference(before.content, after.content)
    var writer = JSONWriter(reserving: 4_096)
    writer.object { writer in
      writer.member("document_id", id.description)
      writer.member("from", first.value)
      writer.member("to", second.value)
      writer.changes(changes)
      writer.member("content_changed", before.content?.hash != after.content?.hash)
      guard let lines else { return writer.member("lines", JSONValue.null) }
      writer.objects("lines", of: lines) { writer, line in
        writer.member("change", line.isRemoved ? "removed" : "added")
        writer.member("line", line.number)
        writer.member("text", line.text)
      }
    }
    return .json(writer.bytes)
  }

  private struct Line: Sendable {
    let isRemoved: Bool
    let number: Int
    let text: String
  }

  /// The lines that differ, removed ones first within a place; nil: they cannot be compared.
  private func difference(_ before: DocumentContent?, _ after: DocumentContent?) async throws -> [Line]? {
    guard let old = try await lines(of: before), let new = try await lines(of: after) else { return nil }
    // What is equal at both ends is no part of the comparison.
    let first = zip(old, new).prefix { $0 == $1 }.count
    let last = zip(old.dropFirst(first).reversed(), new.dropFirst(first).reversed()).prefix { $0 == $1 }.count
    let (oldPart, newPart) = (Array(old[first..<old.count - last]), Array(new[first..<new.count - last]))
    guard oldPart.count + newPart.count <= Self.maximumLines else { return nil }
    // Off the loop: lines that have nothing in common take a while.
    return await Reactor.offLoop {
      newPart.difference(from: oldPart).map { change in
        switch change {
        case .remove(let offset, let line, _):
          Line(isRemoved: true, number: first + offset + 1, text: String(decoding: line, as: UTF8.self))
        case .insert(let offset, let line, _):
          Line(isRemoved: false, number: first + offset + 1, text: String(decoding: line, as: UTF8.self))
        }
      }.sorted { ($0.number, $0.isRemoved ? 0 : 1) < ($1.number, $1.isRemoved ? 0 : 1) }
    }
  }

  /// By bytes: “é” in one and in two code points are different texts.
  private func lines(of content: DocumentContent?) async throws -> [[UInt8]]? {
    guard let content, content.size > 0 else { return [] }
    guard content.size <= Self.maximumCompared,
      content.type.hasPrefix("text/") || content.type.hasPrefix("application/json")
    else { return nil }
    let download = try await documents.content.read(content)
    var bytes: [UInt8] = []
    while let piece = try await download.next() { bytes += piece }
    guard String(validating: bytes, as: UTF8.self) != nil else { return nil }
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { Array($0) }
    return lines
  }
}
