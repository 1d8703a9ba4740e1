import Services

/// The features of the program: the only list. A new feature is one line here.
enum Features {
  /// Features with routes: `annals serve` runs all of them, or one.
  static let services: [any Feature] = [
    Documents(),
    DocumentTypes(),
    Signatures(),
    Links(),
    Batches(),
    Search(),
    SavedSearches(),
    Webhooks(),
    Audit(),
    Analytics(),
    Streams(),
    RemoteCalls(),
  ]

  /// The event log itself, in every process that serves requests.
  static let log = EventLog()
  /// Who calls, in every process: those that serve documents do not start without a way to tell.
  static let identity = Identities(needsKeys: true)
  static let operatorsIdentity = Identities(needsKeys: false)
  /// The outbox's upkeep, in every process that writes to it or relays it.
  static let outbox = Outbox()
  /// Features that follow the log: `annals relay` and `annals project` run one each.
  static let relay = Relaying()
  static let projections = Projecting()

  /// What was done for traced requests, in every process.
  static let traces = Traces()

  static let all: [any Feature] = [log, outbox, identity, traces] + services + [relay, projections]
}
