/// Options of Debezium's Outbox Event Router: how rows of an application's outbox table become messages.
struct OutboxRouterOptions: Sendable {
  /// The transform's name in `transforms`.
  var alias = "outbox"
  var idField = "id"
  var keyField = "aggregateid"
  var typeField = "type"
  var payloadField = "payload"
  var timestampField: String?
  var schemaVersionField: String?
  var routeField = "aggregatetype"
  var topicPattern = "(?<routedByValue>.*)"
  var topicReplacement = "outbox.event.${routedByValue}"
  var expandsPayload = false
  var sendsTombstoneOnEmptyPayload = false
  var invalidOperation = InvalidOperation.warn
  var placements: [Placement] = []
  var requiresPlacedFields = true
  /// Pattern for the topics of outbox tables; nil: every table is an outbox.
  var topics: (pattern: String, isNegated: Bool)?

  enum InvalidOperation: String, CaseIterable { case warn, error, fatal }

  struct Placement: Equatable {
    enum Place: String { case header, envelope, partition }
    let field: String
    let place: Place
    let alias: String
  }
}
