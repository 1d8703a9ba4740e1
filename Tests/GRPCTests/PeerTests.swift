import Testing

import GRPC

@Suite("The address of a client by gRPC", .timeLimit(.minutes(1))) struct PeerTests {
  @Test(
    "is that of its connection, whole, without the port",
    arguments: [
      ("ipv4:127.0.0.1:40000", "127.0.0.1"), ("ipv6:%5B::1%5D:40000", "::1"),
      ("ipv6:%5B2001:db8::7%5D:40000", "2001:db8::7"), ("unix:", "unix:"),
    ])
  func address(peer: String, address: String) { #expect(RPCCall.address(of: peer) == address) }
}
