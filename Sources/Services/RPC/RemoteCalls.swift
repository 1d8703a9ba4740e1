public import Configuration
public import GRPC

/// Documents by gRPC.
public struct RemoteCalls: Feature {
  public let name = "grpc"

  public init() {}

  static let port = Setting(
    "grpc.port", default: 28_051,
    "Port of gRPC. It listens on the address of the services, http.address. 0: there is no gRPC.",
    accepts: { (0...65_535).contains($0) }, remedy: "a port from 1 to 65535, or 0")

  public var settings: [SettingDescription] { [Self.port.description] }

  public func calls(_ context: Context) throws -> [RPCService] {
    context.settings[Self.port] == 0 ? [] : [try DocumentCalls(context).service]
  }

  /// Those who watch a document are told by the reader of the log.
  public func workers(_ context: Context) throws -> [any Worker] { [LogTail(context)] }
}
