#pragma once
#include <microhttpd.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/ioctl.h>
#include <netinet/in.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <string.h>

// Variadic calls, which Swift cannot make.
static inline struct MHD_Daemon *annals_mhd_start(unsigned flags, uint16_t port, MHD_AccessHandlerCallback access,
                                                  void *context, struct MHD_OptionItem *options) {
  return MHD_start_daemon(flags, port, NULL, NULL, access, context, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}
static inline int annals_mhd_epoll_descriptor(struct MHD_Daemon *daemon) {
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
  return info ? info->epoll_fd : -1;
}
static inline unsigned annals_mhd_port(struct MHD_Daemon *daemon) {
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
  return info ? info->port : 0;
}
static inline int annals_mhd_descriptor(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info ? info->connect_fd : -1;
}
static inline void *annals_mhd_socket_context(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info ? info->socket_context : NULL;
}
static inline void annals_mhd_without_chunks(struct MHD_Response *response) {
  MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
}
static inline void annals_mhd_close_upgraded(struct MHD_UpgradeResponseHandle *handle) {
  MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}
// Macros with casts, which Swift does not import.
static const ssize_t ANNALS_MHD_END_OF_STREAM = -1;
static const ssize_t ANNALS_MHD_END_WITH_ERROR = -2;
static const uint64_t ANNALS_MHD_SIZE_UNKNOWN = (uint64_t)-1;
static const short ANNALS_POLLRDHUP = 0x2000;

// Bytes of a TCP connection that the other side has acknowledged; 0 for another kind of socket. The C library's struct
// ends before this field (tcpi_bytes_acked, since Linux 4.1), and the kernel's header defines the same name again.
static inline long annals_bytes_acked(int descriptor) {
  unsigned char info[128];
  socklen_t length = sizeof(info);
  unsigned long long bytes = 0;
  if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, info, &length) != 0 || length < sizeof(info)) return 0;
  memcpy(&bytes, info + 120, sizeof(bytes));
  return (long)bytes;
}
// Bytes that were written and are not acknowledged.
static inline long annals_unsent(int descriptor) {
  int count = 0;
  return ioctl(descriptor, SIOCOUTQ, &count) == 0 ? count : 0;
}
