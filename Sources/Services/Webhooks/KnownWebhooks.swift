import Domain
import EventStore
import Events
import Identifiers

/// All webhooks, as the log has them.
final class KnownWebhooks: Sendable {
  struct Entry: Sendable {
    let webhook: Webhook
    let owner: String
    /// The stream of the list that it is in.
    let list: String
    /// Whose rights decide of what it is told.
    let reader: Caller
    /// Where in the log it was registered.
    let index: LogIndex
  }

  private let lists: KnownStates<WebhookList, [UUID: Entry]>

  init(_ store: EventStore) {
    lists = KnownStates(store) { event in
      switch event {
      case .registered(let id, _, _, _, _, _): .begun(id)
      case .removed(let id, _): .ended(id)
      case .changed, .keyRotated, .disabled, .enabled, .replayed: .other
      }
    } make: { lists, indexes in
      var entries: [UUID: Entry] = [:]
      for list in lists {
        let reader = Caller(owner: list.owner, rights: list.reader)
        for webhook in list.webhooks {
          guard let index = indexes[webhook.id] else { continue }
          entries[webhook.id] = Entry(
            webhook: webhook, owner: list.owner, list: Webhooks.list(of: list.owner), reader: reader, index: index)
        }
      }
      return entries
    }
  }

  /// They are read anew.
  func reset() { lists.reset() }

  func webhooks() async throws -> [UUID: Entry] { try await lists.value() }
}
