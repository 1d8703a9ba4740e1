@testable import HTTPServer
import Testing

private func receive(_ upload: inout Upload, _ count: Int, spare: Int = 1 << 30) -> Upload.Receipt {
  [UInt8](repeating: 1, count: count).withUnsafeBytes { upload.receive($0, spare: spare) }
}

@Suite("A body that arrives", .timeLimit(.minutes(1))) struct UploadTests {
  @Test("is not taken before the handler asks for it")
  func held() throws {
    var upload = Upload(declared: 10)
    let receipt7 = receive(&upload, 10)
    #expect(receipt7 == .pause)
    try upload.ask(.chunks, upTo: 10)
    let receipt8 = receive(&upload, 10)
    #expect(receipt8 == .taken)
    let step1 = try upload.next()
    #expect(step1 == .chunk([UInt8](repeating: 1, count: 10)))
    let step2 = try upload.next()
    #expect(step2 == .wait)
    upload.end()
    let step3 = try upload.next()
    #expect(step3 == .end)
  }

  @Test("makes the client wait while much is buffered, and sooner while memory is short")
  func backPressure() throws {
    var upload = Upload(declared: nil)
    try upload.ask(.chunks, upTo: 1 << 30)
    let receipt9 = receive(&upload, 1_000)
    #expect(receipt9 == .taken)
    let receipt10 = receive(&upload, 1_000, spare: 0)
    #expect(receipt10 == .takenPause)
    let receipt11 = receive(&upload, Upload.highWater)
    #expect(receipt11 == .takenPause)
    #expect(!upload.wantsMore)
    var step = try upload.next()
    while case .chunk = step { step = try upload.next() }
    #expect(upload.wantsMore && upload.buffered == 0)
  }

  @Test("is refused above its limit: at once if its length is declared, else when it is exceeded")
  func limit() throws {
    var declared = Upload(declared: 11)
    #expect(throws: Problem.self) { try declared.ask(.whole, upTo: 10) }
    var chunked = Upload(declared: nil)
    try chunked.ask(.whole, upTo: 10)
    let receipt12 = receive(&chunked, 10)
    #expect(receipt12 == .taken)
    let receipt13 = receive(&chunked, 1)
    #expect(receipt13 == .takenPause)
    // Nothing is read until the handler has answered.
    let receipt14 = receive(&chunked, 1)
    #expect(receipt14 == .pause)
    let problem = #expect(throws: Problem.self) { try chunked.next() }
    #expect(problem?.status == 413)
    #expect(chunked.buffered == 0)
  }

  @Test("is refused with 503 if the bodies in memory are too large together")
  func memory() throws {
    var upload = Upload(declared: 10)
    try upload.ask(.whole, upTo: 10)
    let receipt15 = receive(&upload, 5, spare: 4)
    #expect(receipt15 == .takenPause)
    let problem = #expect(throws: Problem.self) { try upload.next() }
    #expect(problem?.status == 503)
    #expect(problem?.headers.contains { $0.name == "Retry-After" } == true)
  }

  @Test("is counted once, also when the handler has taken it")
  func counted() throws {
    var upload = Upload(declared: 10)
    try upload.ask(.whole, upTo: 10)
    _ = receive(&upload, 10)
    upload.end()
    let step = try upload.next()
    #expect(step == .chunk([UInt8](repeating: 1, count: 10)))
    #expect(upload.buffered == 0)
  }

  @Test("is discarded after the answer, up to a limit")
  func discard() throws {
    var small = Upload(declared: 1_000)
    let step4 = small.discardRest()
    #expect(step4)
    let receipt16 = receive(&small, 1_000)
    #expect(receipt16 == .taken)
    var large = Upload(declared: Upload.maximumDiscarded + 1)
    let step5 = large.discardRest()
    #expect(!step5)
    var unknown = Upload(declared: nil)
    let step6 = unknown.discardRest()
    #expect(step6)
    let receipt17 = receive(&unknown, Upload.maximumDiscarded)
    #expect(receipt17 == .taken)
    let receipt18 = receive(&unknown, 1)
    #expect(receipt18 == .tooMuchToDiscard)
  }
}

@Suite("A streamed answer", .timeLimit(.minutes(1))) struct DownloadTests {
  @Test("comes out as it went in, whatever the sizes, and keeps nothing that was sent")
  func order() {
    var download = Download()
    var (expected, out): ([UInt8], [UInt8]) = ([], [])
    var space = [UInt8](repeating: 0, count: 777)
    for round in 0..<200 {
      let piece = (0..<(round * 37) % 2_000).map { UInt8(truncatingIfNeeded: $0 + round) }
      expected += piece
      download.append(piece)
      let count = space.withUnsafeMutableBytes { download.take(into: $0) }
      out += space[..<count]
      #expect(download.waiting == expected.count - out.count)
    }
    while case let count = space.withUnsafeMutableBytes({ download.take(into: $0) }), count > 0 {
      out += space[..<count]
    }
    #expect(out == expected)
    #expect(download.waiting == 0 && download.sent == expected.count)
  }

  @Test("makes its producer wait while much is waiting")
  func bounds() {
    var download = Download()
    download.append([UInt8](repeating: 1, count: Download.highWater))
    #expect(download.isFull && !download.hasRoom)
    var space = [UInt8](repeating: 0, count: Download.highWater - Download.lowWater)
    _ = space.withUnsafeMutableBytes { download.take(into: $0) }
    #expect(!download.isFull && download.hasRoom)
  }
}

@Suite("The least rate", .timeLimit(.minutes(1))) struct LeastRateTests {
  private let start = ContinuousClock.now

  /// How many seconds a client lasts that moves `bytes` each second; nil: two minutes at least.
  private func lasts(_ bytes: (Int) -> Int) -> Int? {
    var rate = LeastRate(bytesPerSecond: 1_000, patience: .seconds(10))
    var moved = 0
    for second in 0..<120 {
      moved += bytes(second)
      if !rate.look(moved: moved, now: start + .seconds(second)) { return second }
    }
    return nil
  }

  @Test("ends a client that trickles or stalls, and no other")
  func rates() {
    #expect(lasts { _ in 1 } == 11)
    #expect(lasts { _ in 0 } == 10)
    #expect(lasts { _ in 1_000 } == nil)
    #expect(lasts { $0 % 8 == 0 ? 8_000 : 0 } == nil)
    // A fast beginning gives no credit for hours.
    #expect(lasts { $0 < 10 ? 100_000_000 : 0 } == 19)
    // Half the rate: the credit is used up in twice its time.
    #expect(lasts { _ in 500 } == 20)
  }

  @Test("does not count time in which the client owes nothing")
  func rest() {
    var rate = LeastRate(bytesPerSecond: 1_000, patience: .seconds(10))
    for second in 0..<100 {
      rate.rest()
      let isFine = rate.look(moved: 0, now: start + .seconds(second))
      #expect(isFine)
    }
  }
}
