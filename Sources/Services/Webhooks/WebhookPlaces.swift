import Identifiers
import Reactor

/// How many documents are sent to which webhook at a time. A webhook that fails is left alone for a while, whatever document comes
/// next; one that fails or is slow gets one document at a time; all such webhooks together have a quarter of the places, so that
/// they keep nobody else waiting.
struct WebhookPlaces {
  /// Places for one webhook, for all, and for all that fail or are slow.
  static let (width, total, doubtful) = (8, 64, 16)
  /// How many failures in a row make a webhook rest, and how long one may ask to be left alone.
  private static let (patience, longestRest) = (3, Duration.seconds(3_600))

  /// The pause that a webhook gets if it asks for one.
  static func pause(asked: Duration?) -> Duration { min(asked ?? .zero, longestRest) }

  /// The state of a webhook that fails or is slow.
  private struct Doubt {
    var failures = 0
    var isSlow = false
    var backoff = Backoff(first: .seconds(1), limit: .seconds(300))
    var until: ContinuousClock.Instant?
  }

  private var sending: [UUID: Int] = [:]
  private var doubts: [UUID: Doubt] = [:]

  /// How many documents are taken next, of which webhooks, and how many in all.
  ///
  /// - Parameter webhooks: All that may be told something. The failures of others are forgotten.
  mutating func free(
    among webhooks: [UUID], at now: ContinuousClock.Instant = .now
  ) -> (places: [(webhook: UUID, count: Int)], count: Int) {
    if !doubts.isEmpty {
      let known = Set(webhooks)
      doubts = doubts.filter { known.contains($0.key) }
    }
    let count = Self.total - sending.values.reduce(0, +)
    guard count > 0 else { return ([], 0) }
    var left = Self.doubtful - doubts.keys.reduce(0) { $0 + (sending[$1] ?? 0) }
    var places: [(webhook: UUID, count: Int)] = []
    // Where there is not room for all, another one goes first each time.
    for webhook in webhooks.shuffled() {
      let busy = sending[webhook] ?? 0
      guard let doubt = doubts[webhook] else {
        if busy < Self.width { places.append((webhook, Self.width - busy)) }
        continue
      }
      // After its first failures it may still have others under way; when it rests or is slow, it has one.
      guard doubt.until.map({ $0 <= now }) ?? true, left > 0,
        busy == 0 || doubt.failures < Self.patience && !doubt.isSlow
      else { continue }
      left -= 1
      places.append((webhook, 1))
    }
    return (places, count)
  }

  /// A document is sent to a webhook from now on.
  mutating func take(_ webhook: UUID) { sending[webhook, default: 0] += 1 }

  /// It is not sent any more.
  mutating func leave(_ webhook: UUID) {
    let count = (sending[webhook] ?? 1) - 1
    sending[webhook] = count > 0 ? count : nil
  }

  /// A webhook has taken a message.
  mutating func delivered(_ webhook: UUID, isSlow: Bool) { doubts[webhook] = isSlow ? Doubt(isSlow: true) : nil }

  /// A webhook has not taken a message.
  ///
  /// - Parameters:
  ///   - isOverloaded: It says so, and rests at once.
  ///   - pause: How long it asks to be left alone.
  mutating func failed(
    _ webhook: UUID, isOverloaded: Bool, pause: Duration?, at now: ContinuousClock.Instant = .now
  ) {
    var doubt = doubts[webhook] ?? Doubt()
    doubt.failures += 1
    if doubt.failures >= Self.patience || isOverloaded {
      doubt.until = now + max(doubt.backoff.next(), Self.pause(asked: pause))
    }
    doubts[webhook] = doubt
  }
}
