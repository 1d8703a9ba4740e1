/// Where a cluster is and how to talk to it.
public struct KafkaOptions: Sendable {
  /// `host:port`, several with commas between.
  public var brokers: String
  public var clientID: String
  /// More settings of librdkafka by its own names: security, sizes, times.
  public var settings: [String: String]

  public init(brokers: String, clientID: String = "annals", settings: [String: String] = [:]) {
    (self.brokers, self.clientID, self.settings) = (brokers, clientID, settings)
  }
}
