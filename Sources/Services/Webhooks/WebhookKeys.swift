import Base64
import Configuration
import Crypto
import Domain
import Identifiers
import Time

/// The keys with which messages are signed, by Standard Webhooks 1.0: one for HMAC-SHA-256 (`v1`), one of Ed25519 (`v1a`). They are
/// made from one secret, the webhook and the number of its key, so that no key is in the log or in the database.
struct WebhookKeys: Sendable {
  /// As a webhook's owner sees it.
  struct Shown: Sendable {
    let number: Int
    /// `whsec_…`
    let secret: String
    /// `whpk_…`
    let publicKey: String
    /// Until when it signs; nil: no end is known.
    let until: Timestamp?
  }

  /// The first one's keys are shown; all sign.
  private let masters: [[UInt8]]

  /// - Parameter text: `webhooks.secret`.
  init(_ text: String) { masters = Self.secrets(text).map { Array($0.utf8) } }

  static func secrets(_ text: String) -> [Substring] { text.split(whereSeparator: \.isNewline) }

  var isEmpty: Bool { masters.isEmpty }

  private func key(_ kind: String, _ webhook: UUID, _ number: Int, _ master: [UInt8]) -> [UInt8] {
    SHA256.authenticationCode(of: Array("annals webhook \(kind) \(webhook) \(number)".utf8), key: master)
  }

  /// Keys that sign now, the newest first.
  private func numbers(of webhook: Webhook, at now: Timestamp) -> [(number: Int, until: Timestamp?)] {
    guard let until = webhook.oldKeyUntil, until > now, webhook.key > 1 else { return [(webhook.key, nil)] }
    return [(webhook.key, nil), (webhook.key - 1, until)]
  }

  func shown(of webhook: Webhook, at now: Timestamp) -> [Shown] {
    guard let master = masters.first else { return [] }
    return numbers(of: webhook, at: now).map { number, until in
      Shown(
        number: number, secret: "whsec_" + Base64.standard(key("v1", webhook.id, number, master)),
        publicKey: "whpk_" + Base64.standard(Ed25519Key(seed: key("v1a", webhook.id, number, master)).publicKey),
        until: until)
    }
  }

  /// The header `webhook-signature`.
  func signatures(_ webhook: Webhook, message: String, at now: Timestamp, _ body: [UInt8]) -> String {
    let signed = Array("\(message).\(now.microseconds / 1_000_000).".utf8) + body
    var signatures: [String] = []
    for (number, _) in numbers(of: webhook, at: now) {
      for master in masters {
        let code = SHA256.authenticationCode(of: signed, key: key("v1", webhook.id, number, master))
        signatures.append("v1," + Base64.standard(code))
        let own = Ed25519Key(seed: key("v1a", webhook.id, number, master))
        signatures.append("v1a," + Base64.standard(own.sign(signed)))
      }
    }
    return signatures.joined(separator: " ")
  }
}
