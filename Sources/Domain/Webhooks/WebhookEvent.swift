public import Events
public import Identifiers
public import JSON
public import Time

/// An event of somebody's webhooks.
public enum WebhookEvent: DomainEvent, Equatable {
  case registered(
    id: UUID, url: String, selection: WebhookSelection, owner: String, reader: StandingRights, at: Time.Timestamp)
  case changed(id: UUID, url: String, selection: WebhookSelection, reader: StandingRights, at: Time.Timestamp)
  case keyRotated(id: UUID, key: Int, oldKeyUntil: Time.Timestamp, at: Time.Timestamp)
  case disabled(id: UUID, reason: String, at: Time.Timestamp)
  case enabled(id: UUID, at: Time.Timestamp)
  case replayed(id: UUID, from: Int64, before: Int64, at: Time.Timestamp)
  case removed(id: UUID, at: Time.Timestamp)
}

/// The stored form. Tests/DomainTests/Fixtures has every form that was ever written.
extension WebhookEvent {
  public var type: String {
    switch self {
    case .registered: "WebhookRegistered"
    case .changed: "WebhookChanged"
    case .keyRotated: "WebhookKeyRotated"
    case .disabled: "WebhookDisabled"
    case .enabled: "WebhookEnabled"
    case .replayed: "WebhookReplayed"
    case .removed: "WebhookRemoved"
    }
  }

  public static let schemaVersions: [String: Int32] = [
    "WebhookRegistered": 1, "WebhookChanged": 1, "WebhookKeyRotated": 1, "WebhookDisabled": 1, "WebhookEnabled": 1,
    "WebhookReplayed": 1, "WebhookRemoved": 1,
  ]

  public static let personalFields: [String: [String]] = [
    "WebhookRegistered": ["url", "owner", "reader"], "WebhookChanged": ["url", "reader"],
  ]

  /// URLs often have a secret in them.
  public static let secretFields: [String: [String]] = ["WebhookRegistered": ["url"], "WebhookChanged": ["url"]]

  public var data: [UInt8] {
    var writer = JSONWriter(reserving: 512)
    writer.object { writer in
      func target(_ url: String, _ selection: WebhookSelection) {
        writer.member("url", url)
        writer.name("selection")
        selection.write(&writer)
      }
      func rights(_ reader: StandingRights) {
        writer.name("reader")
        reader.write(&writer)
      }
      let (id, at) = place
      writer.member("id", id.description)
      switch self {
      case .registered(_, let url, let selection, let owner, let reader, _):
        target(url, selection)
        writer.member("owner", owner)
        rights(reader)
      case .changed(_, let url, let selection, let reader, _):
        target(url, selection)
        rights(reader)
      case .keyRotated(_, let key, let until, _):
        writer.member("key", key)
        writer.member("old_key_until", until.description)
      case .disabled(_, let reason, _): writer.member("reason", reason)
      case .replayed(_, let from, let before, _):
        writer.member("from_index", from)
        writer.member("before_index", before)
      case .enabled, .removed: break
      }
      writer.member("at", at.description)
    }
    return writer.bytes
  }

  private var place: (id: UUID, at: Time.Timestamp) {
    switch self {
    case .registered(let id, _, _, _, _, let at), .changed(let id, _, _, _, let at), .keyRotated(let id, _, _, let at),
      .disabled(let id, _, let at), .enabled(let id, let at), .replayed(let id, _, _, let at), .removed(let id, let at):
      (id, at)
    }
  }

  public init(type: String, fields: inout JSONFields) throws(JSONError) {
    let id = try fields.required("id", as: UUID.self)
    let at = try fields.required("at", as: Time.Timestamp.self)
    switch type {
    case "WebhookRegistered":
      self = .registered(
        id: id, url: try fields.required("url"), selection: try fields.required("selection"),
        owner: try fields.required("owner"), reader: try fields.required("reader"), at: at)
    case "WebhookChanged":
      self = .changed(
        id: id, url: try fields.required("url"), selection: try fields.required("selection"),
        reader: try fields.required("reader"), at: at)
    case "WebhookKeyRotated":
      self = .keyRotated(
        id: id, key: Int(try fields.required("key", as: Int64.self)), oldKeyUntil: try fields.required("old_key_until"),
        at: at)
    case "WebhookDisabled": self = .disabled(id: id, reason: try fields.required("reason"), at: at)
    case "WebhookEnabled": self = .enabled(id: id, at: at)
    case "WebhookReplayed":
      self = .replayed(
        id: id, from: try fields.required("from_index"), before: try fields.required("before_index"), at: at)
    case "WebhookRemoved": self = .removed(id: id, at: at)
    default: throw JSONError(.invalid(type, remedy: "no event of webhooks has this type"))
    }
  }
}
