/// The address of a cluster, and the client's settings.
public struct KafkaOptions: Sendable {
  /// Bootstrap servers as `host:port`, separated by commas.
  public var brokers: String
  public var clientID: String
  /// More settings of librdkafka by its own names: security, sizes, times. They override the settings of this code.
  public var settings: [String: String]

  public init(brokers: String, clientID: String = "annals", settings: [String: String] = [:]) {
    (self.brokers, self.clientID, self.settings) = (brokers, clientID, settings)
  }
}
