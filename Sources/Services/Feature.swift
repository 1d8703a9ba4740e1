public import Configuration
public import Events
public import GRPC
public import Lifecycle
public import Projections

/// A part of the product: its settings, routes, views, workers and checks in one value. `annals` has one list of them.
///
/// Every member has an empty default.
public protocol Feature: Sendable {
  /// Its name in logs and on the command line: `annals serve documents`.
  var name: String { get }

  /// Its settings. They are declared in its folder.
  var settings: [SettingDescription] { get }

  /// The aggregates whose streams it writes. `annals verify` folds them and compares the views.
  var aggregates: [any Aggregate.Type] { get }

  /// The connections of a context that it uses. A process opens only those of the features that it runs.
  var connections: Connections { get }

  /// Called before a process starts that runs the feature. An error keeps it from starting.
  func prepare(_ context: Context) async throws

  /// The routes of one reactor.
  func routes(_ context: Context) throws -> [RouteGroup]

  /// Routes for operators, on a port of their own in every process.
  func operatorRoutes(_ context: Context) throws -> [RouteGroup]

  /// The services of one reactor that are called by gRPC.
  func calls(_ context: Context) throws -> [RPCService]

  /// The views that it keeps, for the projections, `annals verify` and its own routes.
  func views(_ context: Context) throws -> [any View]

  /// The objects that it keeps in the object store, for `annals sweep`.
  func contents(_ context: Context) throws -> [StoredContents]

  /// Work in the background, once in each process that runs the feature. What several features name alike runs once.
  func workers(_ context: Context) throws -> [any Worker]

  /// Checks of the servers that it depends on. `/readyz` of a process with routes and `annals doctor` run the same list.
  func checks(_ context: Context) throws -> [Check]
}

extension Feature {
  public var settings: [SettingDescription] { [] }
  public var aggregates: [any Aggregate.Type] { [] }
  public var connections: Connections { .all }
  public func prepare(_ context: Context) async throws {}
  public func routes(_ context: Context) throws -> [RouteGroup] { [] }
  public func operatorRoutes(_ context: Context) throws -> [RouteGroup] { [] }
  public func calls(_ context: Context) throws -> [RPCService] { [] }
  public func views(_ context: Context) throws -> [any View] { [] }
  public func contents(_ context: Context) throws -> [StoredContents] { [] }
  public func workers(_ context: Context) throws -> [any Worker] { [] }
  public func checks(_ context: Context) throws -> [Check] { [] }
}

/// Connections that a context keeps open.
public struct Connections: OptionSet, Sendable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }

  public static let postgres = Connections(rawValue: 1)
  public static let redis = Connections(rawValue: 2)
  public static let all: Connections = [.postgres, .redis]
}

/// Work in the background: a reader of topics or of the log, or a timer.
public protocol Worker: Service {
  /// The reason why it makes no progress; nil while it does, or while there is nothing to do.
  var problem: String? { get async }

  /// A process that does nothing else is not ready while it makes no progress.
  var isRequired: Bool { get }
}

extension Worker {
  public var problem: String? { get async { nil } }
  public var isRequired: Bool { true }
}
