public import Events
public import Identifiers
import JSON
public import Time

/// A URL that is told of what happens to documents.
public struct Webhook: Equatable, Sendable {
  public let id: UUID
  public internal(set) var url: String
  public internal(set) var selection: WebhookSelection
  /// The number of the key that signs, from 1 on. The key itself is nowhere in the log.
  public internal(set) var key = 1
  /// Until then the key before it signs too; nil: there was none.
  public internal(set) var oldKeyUntil: Time.Timestamp?
  /// Why it is told of nothing; nil: it is.
  public internal(set) var disabled: String?
  public let createdAt: Time.Timestamp
}

/// The webhooks of one owner, as events have made them.
public struct WebhookList: Equatable, Sendable {
  public let owner: String
  /// By which rights it is decided of what they are told: those of the owner when he registered or changed one last.
  public internal(set) var reader: StandingRights
  /// Oldest first.
  public internal(set) var webhooks: [Webhook] = []
  /// The stream's.
  public internal(set) var version: StreamVersion

  /// How many somebody may have.
  public static let maximum = 20
  /// How long a URL and a reason may be, in bytes.
  public static let maximumURL = 2_000
  public static let maximumReason = 300

  public func webhook(_ id: UUID) -> Webhook? { webhooks.first { $0.id == id } }
}

public enum WebhookListCommand: Sendable {
  case register(
    id: UUID, url: String, selection: WebhookSelection, owner: String, reader: StandingRights, at: Time.Timestamp)
  /// nil: as before.
  case change(id: UUID, url: String?, selection: WebhookSelection?, reader: StandingRights, at: Time.Timestamp)
  /// A new key signs; the one before it signs too until some time.
  case rotate(id: UUID, oldKeyUntil: Time.Timestamp, at: Time.Timestamp)
  case disable(id: UUID, reason: String, at: Time.Timestamp)
  case enable(id: UUID, at: Time.Timestamp)
  /// Events from one index of the log to before another are sent once more.
  case replay(id: UUID, from: Int64, before: Int64, at: Time.Timestamp)
  case remove(id: UUID, at: Time.Timestamp)
}

public enum WebhookRefusal: Refusal, Equatable, Sendable {
  case notFound
  case urlIsTooLong
  case tooManyEvents
  case tooManyDocuments
  case tooMany(limit: Int)
  case rangeIsEmpty
  case isDisabled

  public var kind: RefusalKind {
    switch self {
    case .notFound: .notFound
    case .urlIsTooLong, .tooManyEvents, .tooManyDocuments, .rangeIsEmpty: .invalid
    case .tooMany, .isDisabled: .conflict
    }
  }

  public var field: String? {
    switch self {
    case .notFound, .tooMany, .isDisabled: nil
    case .urlIsTooLong: "/url"
    case .tooManyEvents: "/selection/events"
    case .tooManyDocuments: "/selection/documents"
    case .rangeIsEmpty: "/from_index"
    }
  }

  public var description: String {
    switch self {
    case .notFound: "there is no such webhook"
    case .urlIsTooLong: "a URL has at most \(WebhookList.maximumURL) bytes"
    case .tooManyEvents: "at most \(WebhookSelection.maximum) events are named: name none for all of them"
    case .tooManyDocuments: "at most \(WebhookSelection.maximum) documents are named: name none for all of them"
    case .tooMany(let limit): "somebody has at most \(limit) webhooks: delete one"
    case .rangeIsEmpty: "the log has nothing in this range"
    case .isDisabled: "the webhook is disabled: enable it first"
    }
  }
}

extension WebhookList: Aggregate {
  public static let category: StaticString = "webhook_list"

  public var publishedRow: [UInt8]? { rowImage }

  public static func decide(
    _ command: WebhookListCommand, _ state: WebhookList?
  ) throws(WebhookRefusal) -> [WebhookEvent] {
    func known(_ id: UUID) throws(WebhookRefusal) -> Webhook {
      guard let webhook = state?.webhook(id) else { throw .notFound }
      return webhook
    }
    switch command {
    case .register(let id, let url, let selection, let owner, let reader, let at):
      try check(url, selection)
      guard (state?.webhooks.count ?? 0) < maximum else { throw .tooMany(limit: maximum) }
      return [.registered(id: id, url: url, selection: selection, owner: owner, reader: reader, at: at)]
    case .change(let id, let url, let selection, let reader, let at):
      let webhook = try known(id)
      let (newURL, newSelection) = (url ?? webhook.url, selection ?? webhook.selection)
      try check(newURL, newSelection)
      guard newURL != webhook.url || newSelection != webhook.selection || reader != state?.reader else { return [] }
      return [.changed(id: id, url: newURL, selection: newSelection, reader: reader, at: at)]
    case .rotate(let id, let until, let at):
      let webhook = try known(id)
      return [.keyRotated(id: id, key: webhook.key + 1, oldKeyUntil: until, at: at)]
    case .disable(let id, let reason, let at):
      guard try known(id).disabled == nil else { return [] }
      return [.disabled(id: id, reason: String(decoding: reason.utf8.prefix(maximumReason), as: UTF8.self), at: at)]
    case .enable(let id, let at):
      guard try known(id).disabled != nil else { return [] }
      return [.enabled(id: id, at: at)]
    case .replay(let id, let from, let before, let at):
      guard try known(id).disabled == nil else { throw .isDisabled }
      guard from < before else { throw .rangeIsEmpty }
      return [.replayed(id: id, from: from, before: before, at: at)]
    case .remove(let id, let at):
      _ = try known(id)
      return [.removed(id: id, at: at)]
    }
  }

  private static func check(_ url: String, _ selection: WebhookSelection) throws(WebhookRefusal) {
    guard url.utf8.count <= maximumURL else { throw .urlIsTooLong }
    guard selection.events.count <= WebhookSelection.maximum else { throw .tooManyEvents }
    guard selection.documents.count <= WebhookSelection.maximum else { throw .tooManyDocuments }
  }

  public static func evolve(_ state: WebhookList?, _ event: WebhookEvent, at version: StreamVersion) -> WebhookList? {
    if case .registered(let id, let url, let selection, let owner, let reader, let at) = event {
      var list = state ?? WebhookList(owner: owner, reader: reader, version: version)
      (list.reader, list.version) = (reader, version)
      list.webhooks.append(Webhook(id: id, url: url, selection: selection, createdAt: at))
      return list
    }
    guard var list = state else { return nil }
    list.version = version
    func change(_ id: UUID, _ body: (inout Webhook) -> Void) {
      if let place = list.webhooks.firstIndex(where: { $0.id == id }) { body(&list.webhooks[place]) }
    }
    switch event {
    case .registered, .replayed: break
    case .changed(let id, let url, let selection, let reader, _):
      list.reader = reader
      change(id) { ($0.url, $0.selection) = (url, selection) }
    case .keyRotated(let id, let key, let until, _): change(id) { ($0.key, $0.oldKeyUntil) = (key, until) }
    case .disabled(let id, let reason, _): change(id) { $0.disabled = reason }
    case .enabled(let id, _): change(id) { $0.disabled = nil }
    case .removed(let id, _): list.webhooks.removeAll { $0.id == id }
    }
    return list
  }

  /// The row image: the form of a list in change events. URLs often have a secret in them: only their hosts are told.
  public var rowImage: [UInt8] {
    var writer = JSONWriter(reserving: 1_024)
    writer.object { writer in
      writer.member("owner", owner)
      writer.objects("webhooks", of: webhooks) { writer, webhook in
        writer.member("id", webhook.id.description)
        writer.member("host", webhook.host)
        writer.name("selection")
        webhook.selection.write(&writer)
        writer.member("key", webhook.key)
        writer.member("disabled", orNull: webhook.disabled)
        writer.member("created_at", webhook.createdAt.description)
      }
      writer.member("version", version.value)
    }
    return writer.bytes
  }
}

extension Webhook {
  /// `https://example.com:8443`: the beginning of the URL, without what may be a secret.
  public var host: String {
    guard let start = url.firstRange(of: "://")?.upperBound else { return "" }
    return String(url[..<start] + url[start...].prefix { $0 != "/" && $0 != "?" && $0 != "#" })
  }
}
