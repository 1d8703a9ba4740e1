import Identifiers
import Testing
import Time

@Suite("Timestamps", .timeLimit(.minutes(5))) struct TimeTests {
  @Test(
    "are written with six digits in UTC and read back",
    arguments: [
      ("1970-01-01T00:00:00.000000Z", Int64(0)), ("2024-02-29T23:59:59.999999Z", 1_709_251_199_999_999),
      ("1969-12-31T23:59:59.999999Z", -1), ("2026-11-21T13:20:38.123456Z", 1_795_267_238_123_456),
    ])
  func text(_ text: String, _ microseconds: Int64) {
    #expect(Timestamp(microseconds: microseconds).description == text)
    #expect(Timestamp(text)?.microseconds == microseconds)
  }

  @Test("are read with offsets, short fractions and bare dates")
  func forms() {
    #expect(Timestamp("2026-11-21T15:20:38.5+02:00") == Timestamp("2026-11-21T13:20:38.500000Z"))
    #expect(Timestamp("2026-11-21") == Timestamp("2026-11-21T00:00:00Z"))
  }

  @Test(
    "that do not exist are refused",
    arguments: [
      "2023-02-29", "2024-02-30", "2024-13-01", "2024-00-01", "2024-01-01T24:00:00Z", "2024-01-01T00:60:00Z",
      "2024-01-01T00:00:60Z", "2024-01-01T00:00:00", "2024-01-01T00:00:00.1234567Z", "", "today", "2024-1-1",
    ])
  func refuses(_ text: String) { #expect(Timestamp(text) == nil) }

  @Test("agree with the calendar on every day of two centuries")
  func days() {
    for day in stride(from: -36_500, through: 36_500, by: 1) {
      #expect(CalendarDay(daysSince1970: day).daysSince1970 == day)
    }
  }
}

@Suite("UUIDs", .timeLimit(.minutes(5))) struct UUIDTests {
  @Test("are read and written")
  func text() {
    let text = "01890a5d-ac96-774b-bcce-b302099a8057"
    #expect(UUID(text)?.description == text)
    #expect(UUID("01890A5D-AC96-774B-BCCE-B302099A8057")?.description == text)
    for bad in ["", "01890a5d", "01890a5dxac96-774b-bcce-b302099a8057", "g1890a5d-ac96-774b-bcce-b302099a8057"] {
      #expect(UUID(bad) == nil)
    }
  }

  @Test("of version 7 say so and sort by time")
  func version7() {
    let first = UUID.version7()
    #expect(first.high >> 12 & 15 == 7)
    #expect(first.low >> 62 == 2)
    var last = first
    for _ in 0..<1_000 {
      let next = UUID.version7()
      #expect(next.high >= last.high)
      #expect(next != last)
      last = next
    }
  }
}
