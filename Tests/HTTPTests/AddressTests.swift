import HTTPClient
import Testing

@Suite("Addresses") struct AddressTests {
  @Test(
    "of the public internet are told from all others, however they are written",
    arguments: [
      ("8.8.8.8", true), ("1.1.1.1", true), ("2606:4700::1111", true), ("134744072", true), ("172.15.0.1", true),
      ("172.32.0.1", true), ("100.63.255.255", true), ("100.128.0.1", true), ("192.0.1.1", true), ("127.0.0.1", false),
      ("2130706433", false), ("0x7f.1", false), ("0177.0.0.1", false), ("127.1", false), ("0.0.0.0", false),
      ("10.255.255.255", false), ("100.64.0.0", false), ("100.127.255.255", false), ("169.254.169.254", false),
      ("172.16.0.0", false), ("172.31.255.255", false), ("192.168.255.255", false), ("192.0.0.1", false),
      ("198.19.255.255", false), ("203.0.113.9", false), ("239.1.1.1", false), ("240.0.0.1", false),
      ("255.255.255.255", false), ("::1", false), ("::", false), ("fe80::1", false), ("fc00::1", false),
      ("ff02::1", false), ("::ffff:8.8.8.8", false), ("64:ff9b::808:808", false), ("2002:808:808::", false),
      ("2001::1", false), ("2001:db8::1", false), ("2001:200::1", true), ("3fff::1", false),
    ])
  func publicOnes(_ text: String, _ isPublic: Bool) throws {
    #expect(try #require(NetworkAddress(text)).isPublic == isPublic)
  }

  @Test("are told from names")
  func names() {
    #expect(NetworkAddress("localhost") == nil && NetworkAddress("example.com") == nil && NetworkAddress("") == nil)
    #expect(WebAddress("https://[fe80::1%25lo]:8443/x")?.host == "fe80::1")
    #expect(WebAddress("https://user@example.com/")?.hasUser == true)
    #expect(WebAddress("nothing at all") == nil)
  }
}
