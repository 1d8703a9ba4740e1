import Domain
import EventStore
import Events
import Identifiers
import JSON
import Time

/// The forms of webhooks and their attempts in answers.
enum WebhookAnswers {
  private static let members: [JSONSchema.Property] = [
    .init("id", .string(format: "uuid")), .init("url", .string(format: "uri")),
    .init("selection", WebhookChoice.schema),
    .init("enabled", .boolean), .init("disabled", .nullable(.string()), "Why it is not enabled."),
    .init("key", .integer, "The number of the key that signs."), .init("created_at", .string(format: "date-time")),
  ]
  static let webhook = JSONSchema.named("Webhook", .object(members))
  static let detailed = JSONSchema.object(
    members + [
      .init("failing", .integer, "Documents with a message that has failed and is sent again, counted up to 10000."),
      .init("parked", .integer, "Documents that are parked, counted up to 10000."),
    ])
  static let keys = JSONSchema.object([
    .init(
      "keys",
      .array(
        .object([
          .init("number", .integer), .init("secret", .string(), "For `v1`: HMAC-SHA-256."),
          .init("public_key", .string(), "For `v1a`: Ed25519."),
          .init("until", .nullable(.string(format: "date-time")), "Until when it signs."),
        ])))
  ])
  static let test = JSONSchema.object([
    .init("delivered", .boolean), .init("status", .nullable(.integer)), .init("problem", .nullable(.string())),
    .init("milliseconds", .integer),
  ])
  static let replay = JSONSchema.object([.init("from_index", .integer), .init("before_index", .integer)])
  static let attemptMembers: [JSONSchema.Property] = [
    .init("message_id", .string()), .init("event_id", .string(format: "uuid")),
    .init("document_id", .string(format: "uuid")), .init("version", .integer),
    .init("number", .integer, "Of this message, from 1 on."), .init("at", .string(format: "date-time")),
    .init("milliseconds", .integer), .init("status", .nullable(.integer), "null: there was no answer."),
    .init("problem", .nullable(.string()), "null: it was taken."),
  ]
  static let attempts = JSONSchema.object([
    .init("attempts", .array(.object(attemptMembers))), .init("next", .nullable(.integer), "null on the last page."),
  ])
  static let parked = JSONSchema.object([
    .init(
      "parked",
      .array(
        .object([
          .init("document_id", .string(format: "uuid")), .init("version", .integer, "Of the event that was not taken."),
          .init("attempts", .integer),
          .init("problem", .string()), .init("parked_at", .string(format: "date-time")),
        ]))),
    .init("next", .nullable(.string(format: "uuid")), "null on the last page."),
  ])
}

extension Webhook {
  func write(_ writer: inout JSONWriter) {
    writer.member("id", id.description)
    writer.member("url", url)
    writer.name("selection")
    selection.write(&writer)
    writer.member("enabled", disabled == nil)
    writer.member("disabled", orNull: disabled)
    writer.member("key", key)
    writer.member("created_at", createdAt.description)
  }
}

extension WebhookQueues.Attempt {
  func write(_ writer: inout JSONWriter) {
    writer.member("message_id", message)
    writer.member("event_id", event.description)
    writer.member("document_id", document.description)
    writer.member("version", version.value)
    writer.member("number", number)
    writer.member("at", at.description)
    writer.member("milliseconds", milliseconds)
    writer.member("status", status.map { .integer(Int64($0)) } ?? JSONValue.null)
    writer.member("problem", orNull: problem)
  }
}
