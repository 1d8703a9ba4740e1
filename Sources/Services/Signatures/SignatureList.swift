import Domain
import EventStore
import Events
import Identifiers

/// The signatures of a document.
struct SignatureList: Sendable {
  private let documents: AggregateStore<Document>
  private let signatures: AggregateStore<Signature>

  /// How many streams are read at the same time.
  private static let width = 32

  init(_ store: EventStore) { (documents, signatures) = (AggregateStore(store), AggregateStore(store)) }

  /// - Throws: `DocumentRefusal` if there is no such document, or none any more.
  func document(_ id: UUID) async throws -> Document {
    guard let state = try await documents.load(id.description).state else { throw DocumentRefusal.notFound }
    guard !state.isDeleted else { throw DocumentRefusal.deleted }
    return state
  }

  /// The signatures on a document, oldest first.
  func signatures(on document: Document) async throws -> [Signature] { try await load(document.signatures[...]) }

  /// The keys of their images, whatever became of the document.
  func imageKeys(on document: String) async throws -> Set<String> {
    let state = try await documents.load(document).state
    return Set(try await load(state?.signatures[...] ?? []).map(\.image.key))
  }

  private func load(_ ids: ArraySlice<UUID>) async throws -> [Signature] {
    var found: [Signature] = []
    var rest = ids
    while !rest.isEmpty {
      found += try await loadTogether(rest.prefix(Self.width))
      rest = rest.dropFirst(Self.width)
    }
    return found
  }

  private func loadTogether(_ ids: ArraySlice<UUID>) async throws -> [Signature] {
    try await withThrowingTaskGroup(of: (Int, Signature?).self) { group in
      for (number, id) in ids.enumerated() {
        group.addTask { (number, try await signatures.load(id.description).state) }
      }
      var found: [Signature?] = Array(repeating: nil, count: ids.count)
      for try await (number, signature) in group { found[number] = signature }
      return found.compactMap { $0 }
    }
  }
}
