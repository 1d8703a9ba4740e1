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
    /// Where in the log it was registered, and where it was disabled if it is.
    let begun: LogIndex
    let disabled: LogIndex?

    /// True for an event of which it is told, if it wants it.
    func isTold(at index: LogIndex) -> Bool { index > begun && (disabled.map { index < $0 } ?? true) }
  }

  private let lists: KnownStates<WebhookList, [UUID: Entry]>

  init(_ store: EventStore) {
    lists = KnownStates(store) { event in
      switch event {
      case .registered(let id, _, _, _, _, _): .begun(id)
      case .removed(let id, _): .ended(id)
      case .disabled(let id, _, _): .marked(id)
      case .changed, .keyRotated, .enabled, .replayed: .other
      }
    } make: { lists, places in
      var entries: [UUID: Entry] = [:]
      for list in lists {
        let reader = Caller(owner: list.owner, rights: list.reader)
        for webhook in list.webhooks {
          guard let place = places[webhook.id] else { continue }
          entries[webhook.id] = Entry(
            webhook: webhook, owner: list.owner, list: OwnersList.id(of: list.owner), reader: reader,
            begun: place.begun, disabled: webhook.disabled == nil ? nil : place.marked)
        }
      }
      return entries
    }
  }

  /// Reads everything again the next time.
  func reset() { lists.reset() }

  func webhooks() async throws -> [UUID: Entry] { try await lists.value() }
}
