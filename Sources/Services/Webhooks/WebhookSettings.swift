import CommandLine
public import Configuration

/// How webhooks are told of what happens.
public enum WebhookSettings {
  static let secret = Setting(
    "webhooks.secret", default: "", isSecret: true,
    "Secret from which the keys of all webhooks are made, at least 32 bytes. Several, one on each line, all sign, and the first one's keys are shown: so a new one comes in before the old one goes. Empty: there are no webhooks.",
    accepts: { WebhookKeys.secrets($0).allSatisfy { $0.utf8.count >= 32 } },
    remedy: "a secret of at least 32 bytes, or several on lines of their own")
  static let allowsPrivate = Setting(
    "webhooks.allow-private", default: false,
    "Allow webhooks http, private addresses and this machine. Set it only where everybody who may register one may reach all that this machine reaches."
  )
  static let timeout = Setting(
    "webhooks.timeout", default: Duration.seconds(20), "How long a webhook may take to answer.",
    accepts: { (.seconds(1)...(.seconds(30))).contains($0) }, remedy: "a duration from 1s to 30s")
  static let retries = Setting(
    "webhooks.retries", default: WebhookRetries.standard,
    "Pauses before a message that failed is sent again, separated by commas. After the last attempt its document is parked."
  )
  static let keepAttempts = Setting(
    "webhooks.keep-attempts", default: Duration.seconds(30 * 86_400),
    "How long attempts are kept, for GET /webhooks/{webhook}/attempts.",
    accepts: { $0 >= .seconds(3_600) }, remedy: "a duration of at least 1h")

  public static let all: [SettingDescription] = [
    secret.description, allowsPrivate.description, timeout.description, retries.description, keepAttempts.description,
  ]
}

/// After how long a message is sent again that failed, each time anew.
struct WebhookRetries: ArgumentValue {
  let delays: [Duration]

  /// The example of Standard Webhooks: ten attempts over three days.
  static let standard = WebhookRetries(argument: "5s,5m,30m,2h,5h,10h,14h,20h,24h")!

  static let placeholder = "TIMES"
  static let expectation = "at most 30 times with commas between them, as in 5s,5m,2h"

  init?(argument: String) {
    let texts = argument.split(separator: ",", omittingEmptySubsequences: false)
    delays = texts.compactMap { Duration(argument: String($0)) }
    guard delays.count == texts.count, delays.count <= 30 else { return nil }
  }

  var argument: String { delays.map(\.argument).joined(separator: ",") }

  /// When the next attempt is made after so many that have failed; nil: none.
  func delay(after failures: Int) -> Duration? {
    guard failures >= 1, failures <= delays.count else { return nil }
    // Many that failed at one moment are not sent again at one moment.
    return delays[failures - 1] * Double.random(in: 1...1.1)
  }
}
