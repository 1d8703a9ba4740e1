import CRdkafka

/// The offset that a group has committed for a partition, with the note that it has committed with it.
public struct GroupPlace: Sendable {
  /// Negative: the group has committed none.
  public let offset: Int64
  public let note: String?

  /// Asks the group's coordinator. Call it on a blocking thread.
  ///
  /// - Parameters:
  ///   - handle: A consumer of the group.
  ///   - timeout: In milliseconds.
  static func read(
    _ partitions: [TopicPartition], _ handle: OpaquePointer, timeout: Int32, brokers: String
  ) throws(KafkaError) -> [TopicPartition: GroupPlace] {
    guard !partitions.isEmpty, let list = rd_kafka_topic_partition_list_t.list(of: partitions) else { return [:] }
    defer { rd_kafka_topic_partition_list_destroy(list) }
    let code = rd_kafka_committed(handle, list, timeout)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      throw KafkaError(code, "reading the group's offsets", brokers: brokers)
    }
    var places: [TopicPartition: GroupPlace] = [:]
    for (index, partition) in partitions.enumerated() {
      let element = list.pointee.elems[index]
      let note = element.metadata.map {
        String(decoding: UnsafeRawBufferPointer(start: $0, count: element.metadata_size), as: UTF8.self)
      }
      places[partition] = GroupPlace(offset: element.offset, note: note)
    }
    return places
  }
}

extension rd_kafka_topic_partition_list_t {
  /// A list that the caller destroys.
  static func list(of partitions: [TopicPartition]) -> UnsafeMutablePointer<rd_kafka_topic_partition_list_t>? {
    let list = rd_kafka_topic_partition_list_new(Int32(partitions.count))
    for partition in partitions { rd_kafka_topic_partition_list_add(list, partition.topic, partition.partition) }
    return list
  }
}
