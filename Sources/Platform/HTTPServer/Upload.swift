/// The body of one request while it arrives: keeps what the handler has asked for and says when the client must wait.
///
/// A pure state machine. Its owner feeds it the received bytes and carries out the answers.
struct Upload {
  /// The form in which the handler wants the body.
  enum Demand { case nothing, whole, chunks }

  enum Receipt: Equatable {
    case taken
    /// The bytes were taken. No more are wanted until `next` says so.
    case takenPause
    /// The bytes were not taken: the handler has not asked for the body, or has not answered its failure.
    case pause
    /// More has arrived than is discarded: answer now.
    case tooMuchToDiscard
  }

  enum Step: Equatable {
    case chunk([UInt8])
    case end
    /// Nothing is here yet.
    case wait
  }

  /// Bytes that are buffered before the client has to wait.
  static let highWater = 128 << 10
  static let lowWater = 32 << 10
  /// Pieces are joined up to this size.
  private static let joined = 64 << 10
  /// Limit on the bytes of a refused body that are read and discarded so that the connection can be used again.
  static let maximumDiscarded = 1 << 20

  /// The declared length in bytes; nil: unknown (chunked).
  let declared: Int?
  private(set) var demand = Demand.nothing
  private(set) var isComplete = false
  /// Bytes received.
  private(set) var received = 0
  private var limit = 0
  private var whole: [UInt8] = []
  private var chunks: [[UInt8]] = []
  /// Bytes buffered.
  private(set) var buffered = 0
  private var failure: Problem?
  private var isDiscarding = false
  private var discarded = 0

  init(declared: Int?) {
    self.declared = declared
    isComplete = declared == 0
  }

  static func tooLarge(_ limit: Int) -> Problem {
    Problem(413, "Content too large", detail: "the body may have at most \(limit) bytes")
  }

  /// The handler asks for the body.
  ///
  /// - Throws: `Problem` 413 if the declared length is above the limit.
  mutating func ask(_ demand: Demand, upTo limit: Int) throws(Problem) {
    precondition(self.demand == .nothing, "a body can be read once")
    guard (declared ?? 0) <= limit else { throw Self.tooLarge(limit) }
    (self.demand, self.limit) = (demand, limit)
    if demand == .whole, let declared { whole.reserveCapacity(min(declared, 64 << 10)) }
  }

  /// The handler's answer is ready: the rest of the body is not wanted.
  ///
  /// - Returns: False if the rest is too long to be read and discarded.
  mutating func discardRest() -> Bool {
    isDiscarding = true
    (whole, chunks, buffered) = ([], [], 0)
    return isComplete || (declared.map { $0 - received } ?? 0) <= Self.maximumDiscarded
  }

  /// - Parameter spare: Bytes of memory that may still be used.
  mutating func receive(_ data: UnsafeRawBufferPointer, spare: Int) -> Receipt {
    if !isDiscarding, failure != nil || demand == .nothing { return .pause }
    received += data.count
    guard !isDiscarding else {
      discarded += data.count
      return discarded <= Self.maximumDiscarded ? .taken : .tooMuchToDiscard
    }
    guard received <= limit else {
      fail(Self.tooLarge(limit))
      return .takenPause
    }
    switch demand {
    case .nothing: break
    case .whole:
      guard data.count <= spare else {
        fail(.memory)
        return .takenPause
      }
      whole.append(contentsOf: data)
      buffered = whole.count
    case .chunks:
      // Small pieces are joined: they cost the handler fewer steps.
      if let count = chunks.last?.count, count + data.count <= Self.joined {
        chunks[chunks.count - 1].append(contentsOf: data)
      } else {
        chunks.append(Array(data))
      }
      buffered += data.count
      // Without spare memory one piece is enough.
      if buffered >= (spare > 0 ? Self.highWater : 1) { return .takenPause }
    }
    return .taken
  }

  private mutating func fail(_ problem: Problem) {
    failure = problem
    (whole, chunks, buffered) = ([], [], 0)
  }

  /// The client has sent the whole body.
  mutating func end() { isComplete = true }

  /// The next piece for the handler. A body that is wanted whole is one piece.
  mutating func next() throws(Problem) -> Step {
    if let failure { throw failure }
    switch demand {
    case .whole:
      guard isComplete else { return .wait }
      defer { (whole, buffered) = ([], 0) }
      return whole.isEmpty ? .end : .chunk(whole)
    case .nothing, .chunks:
      guard !chunks.isEmpty else { return isComplete ? .end : .wait }
      let chunk = chunks.removeFirst()
      buffered -= chunk.count
      return .chunk(chunk)
    }
  }

  /// True if `next` does not say `wait`.
  var hasNext: Bool { failure != nil || isComplete || demand == .chunks && !chunks.isEmpty }

  /// True if so little is buffered that the client may go on.
  var wantsMore: Bool { buffered <= Self.lowWater }
}

extension Problem {
  static let memory = Problem(
    503, "Busy", detail: "the server keeps too many bodies in memory; try again",
    headers: [("Retry-After", "1")])
}
