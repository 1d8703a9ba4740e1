import Identifiers
import Testing

@testable import Services

@Suite("The places for webhooks") struct WebhookPlacesTests {
  private let one = UUID.version7()
  private let other = UUID.version7()
  private let now = ContinuousClock.now

  private func count(_ places: inout WebhookPlaces, _ webhook: UUID, after time: Duration = .zero) -> Int {
    places.free(among: [one, other], at: now + time).places.first { $0.webhook == webhook }?.count ?? 0
  }

  @Test("are eight for one that takes what it is sent, and 64 for all") func width() {
    var places = WebhookPlaces()
    #expect(count(&places, one) == 8)
    for _ in 0..<8 { places.take(one) }
    #expect(count(&places, one) == 0 && count(&places, other) == 8)
    places.leave(one)
    #expect(count(&places, one) == 1)
    let many = (0..<9).map { _ in UUID.version7() }
    for webhook in many { for _ in 0..<8 { places.take(webhook) } }
    #expect(places.free(among: many + [one, other]).places.isEmpty)
  }

  @Test("become fewer with a failure; the third in a row makes a webhook rest, longer than it asks for") func failures()
  {
    var places = WebhookPlaces()
    for failure in 1...2 {
      places.failed(one, isOverloaded: false, pause: nil, at: now)
      #expect(count(&places, one) == 1, "after \(failure)")
    }
    #expect(count(&places, other) == 8)
    places.failed(one, isOverloaded: false, pause: .seconds(60), at: now)
    #expect(count(&places, one, after: .seconds(59)) == 0)
    #expect(count(&places, one, after: .seconds(61)) == 1)
    // While one document tries, no other does.
    places.take(one)
    #expect(count(&places, one, after: .seconds(61)) == 0)
    places.delivered(one, isSlow: false)
    #expect(count(&places, one) == 7)
  }

  @Test("are none at once for one that says it is overloaded, for an hour at most") func overloaded() {
    var places = WebhookPlaces()
    places.failed(one, isOverloaded: true, pause: .seconds(1_000_000), at: now)
    #expect(count(&places, one, after: .seconds(3_599)) == 0 && count(&places, one, after: .seconds(3_601)) == 1)
  }

  @Test("are one for a slow one, as long as it is slow") func slow() {
    var places = WebhookPlaces()
    places.delivered(one, isSlow: true)
    #expect(count(&places, one) == 1)
    places.take(one)
    #expect(count(&places, one) == 0)
    places.delivered(one, isSlow: false)
    #expect(count(&places, one) == 7)
  }

  @Test("are a quarter for all that fail or are slow") func doubtful() {
    var places = WebhookPlaces()
    let slow = (0..<40).map { _ in UUID.version7() }
    for webhook in slow { places.delivered(webhook, isSlow: true) }
    let free = places.free(among: slow + [one])
    #expect(free.count == 64 && free.places.count == 17)
    #expect(free.places.filter { $0.webhook == one }.map(\.count) == [8])
    for place in free.places where place.webhook != one { places.take(place.webhook) }
    #expect(places.free(among: slow + [one]).places.map(\.webhook) == [one])
  }

  @Test("forget a webhook that is gone, and its failures") func gone() {
    var places = WebhookPlaces()
    places.failed(one, isOverloaded: true, pause: .seconds(60), at: now)
    _ = places.free(among: [other], at: now)
    #expect(count(&places, one) == 8)
  }
}
