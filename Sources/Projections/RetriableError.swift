import Elasticsearch
import Redis
import S3

/// An error that declares if a retry may succeed. What may succeed later is waited for, loudly, and never parked.
public protocol RetriableError: Error {
  var isRetriable: Bool { get }
}

extension ElasticsearchError: RetriableError {}
extension RedisError: RetriableError {}
extension S3Error: RetriableError {}
