public import Events
public import JSON
import Postgres
import Schema

/// An aggregate whose states can be kept, so that a long stream need not be read from its beginning. A kept state never
/// changes a result: it is what folding the same events gives.
public protocol SnapshottingAggregate: Aggregate {
  /// The number of the rules by which states are folded. It rises with each change of `evolve` or of the kept form; states
  /// that were kept under another number are not used.
  static var foldedBy: Int32 { get }

  /// A JSON text.
  var snapshot: [UInt8] { get }

  init(snapshot: JSONValue) throws(JSONError)
}

/// How often states are kept. None is where personal fields are coded (`PersonalFields`).
public struct SnapshotPolicy<State: Aggregate>: Sendable {
  /// A load that folded at least that many events keeps its state.
  public let interval: Int
  let read: @Sendable (JSONValue) throws(JSONError) -> State
  let write: @Sendable (State) -> [UInt8]
  let foldedBy: Int32

  /// No state is kept.
  public static var never: SnapshotPolicy? { nil }
}

extension SnapshotPolicy where State: SnapshottingAggregate {
  public static func every(_ interval: Int) -> SnapshotPolicy {
    SnapshotPolicy(
      interval: interval, read: { (value) throws(JSONError) in try State(snapshot: value) }, write: { $0.snapshot },
      foldedBy: State.foldedBy)
  }
}

extension EventStore {
  static let readSnapshot = Query("read_snapshot", Schema.readSnapshot)
  static let takeSnapshot = Query("take_snapshot", Schema.takeSnapshot)

  /// The kept state of a stream. One that cannot be read is as good as none.
  func snapshot<State: Aggregate>(
    of stream: StreamID, _ policy: SnapshotPolicy<State>
  ) async throws(ReadError) -> (state: State, version: StreamVersion)? {
    // A state has personal data in the clear.
    guard personal.isOpen else { return nil }
    do throws(PostgresError) {
      let rows = try await pool.read(Self.readSnapshot, [.text(stream.description), .integer(policy.foldedBy)])
      guard let row = rows.first else { return nil }
      let version = StreamVersion(try row.get(0))
      let text = try row.get(1, as: JSONText.self).bytes
      do { return (try policy.read(JSONValue(parsing: text)), version) } catch { return nil }
    } catch { throw .database(error) }
  }

  func keep<State: Aggregate>(
    _ state: State, at version: StreamVersion, of stream: StreamID, _ policy: SnapshotPolicy<State>
  ) async throws(ReadError) {
    guard personal.isOpen else { return }
    do throws(PostgresError) {
      try await pool.query(
        Self.takeSnapshot,
        [
          .text(stream.description), .bigint(version.value), .integer(policy.foldedBy), .json(policy.write(state)),
        ])
    } catch { throw .database(error) }
  }
}
