public import Configuration
public import Lifecycle
public import Projections

/// A part of the product: its settings, routes, views, workers and checks in one value. `annals` has one list of them.
///
/// Every member has an empty default.
public protocol Feature: Sendable {
  /// Its name in logs and on the command line: `annals serve documents`.
  var name: String { get }

  /// The settings that it reads. They are declared in its folder.
  var settings: [SettingDescription] { get }

  /// The routes of one reactor.
  func routes(_ context: Context) throws -> [RouteGroup]

  /// The views that it keeps, for the projections, `annals verify` and its own routes.
  func views(_ context: Context) throws -> [any View]

  /// What it runs in the background, once in each process that serves it.
  func workers(_ context: Context) throws -> [any Worker]

  /// What it depends on. `/readyz` and `annals doctor` read the same list.
  func checks(_ context: Context) throws -> [Check]
}

extension Feature {
  public var settings: [SettingDescription] { [] }
  public func routes(_ context: Context) throws -> [RouteGroup] { [] }
  public func views(_ context: Context) throws -> [any View] { [] }
  public func workers(_ context: Context) throws -> [any Worker] { [] }
  public func checks(_ context: Context) throws -> [Check] { [] }
}

/// Work in the background: a reader of topics or of the log, or a timer.
public protocol Worker: Service {
  /// The reason why it makes no progress; nil while it does, or while there is nothing to do.
  var problem: String? { get async }
}

extension Worker {
  public var problem: String? { get async { nil } }
}
