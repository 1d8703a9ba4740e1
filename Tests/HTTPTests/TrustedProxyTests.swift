@testable import HTTPServer
import Testing

@Suite("The client's address", .timeLimit(.minutes(1))) struct TrustedProxyTests {
  @Test("is the last one that no trusted proxy has; nobody else's word is taken")
  func forwarded() throws {
    let proxies = try #require(TrustedProxies("127.0.0.1, 10.0.0.0/8,::1"))
    let cases: [(peer: String, forwarded: String?, client: String)] = [
      ("127.0.0.1", "203.0.113.7", "203.0.113.7"), ("127.0.0.1", "9.9.9.9, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
      ("::1", "2001:db8::7", "2001:db8::7"), ("127.0.0.1", nil, "127.0.0.1"), ("127.0.0.1", "10.1.1.1", "127.0.0.1"),
      ("203.0.113.9", "127.0.0.1", "203.0.113.9"), ("11.0.0.1", "1.2.3.4", "11.0.0.1"),
      ("127.0.0.1", "1.2.3.4, nonsense", "127.0.0.1"), ("127.0.0.1", "1.2.3.4, 5.6.7.8:99", "127.0.0.1"),
      ("10.255.0.1", ",,", "10.255.0.1"),
    ]
    for (peer, forwarded, client) in cases {
      #expect(proxies.client(of: peer, forwarded: forwarded) == client, "\(peer) \(forwarded ?? "")")
    }
    #expect(TrustedProxies().client(of: "127.0.0.1", forwarded: "1.2.3.4") == "127.0.0.1")
    for wrong in ["localhost", "10.0.0.0/33", "10.0.0.0/", "::1/129", "1.2.3"] { #expect(TrustedProxies(wrong) == nil) }
  }
}
