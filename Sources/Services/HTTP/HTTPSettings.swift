public import CommandLine
public import Configuration

/// Where a process listens.
public enum HTTPSettings {
  public static let address = Setting("http.address", default: "127.0.0.1", "IP address that the services listen on.")
  public static let port = portSetting("http.port", default: 28_080, "Port that the services listen on.")
  public static let reactors = Setting(
    "http.reactors", default: 0, "Event loops that serve requests; 0: one for each core.",
    accepts: { (0...256).contains($0) }, remedy: "a number from 0 to 256")

  public static let all: [SettingDescription] = [address.description, port.description, reactors.description]

  /// A setting for a port.
  public static func portSetting(_ key: String, default fallback: Int, _ meaning: String) -> Setting<Int> {
    Setting(key, default: fallback, meaning, accepts: { (1...65_535).contains($0) }, remedy: "a port from 1 to 65535")
  }
}
