import Services

/// The features of the program: the only list. A new feature is one line here.
enum Features {
  /// What `annals serve` runs.
  static let services: [any Feature] = [EventLog(), Documents(), Search(), Audit()]

  /// What follows the log: `annals relay` and `annals project` run one each.
  static let relay = Relaying()
  static let projections = Projecting()

  static let all: [any Feature] = services + [relay, projections]
}
